"""Where everything lies in a workspace; the only place that spells these names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["REVISION_DIGITS", "Layout"]

REVISION_DIGITS = 4
"""Digits in a revision's file name, so that names sort as numbers do."""


@dataclass(frozen=True)
class Layout:
    """The paths of one workspace; none needs to exist.

    The files are the truth. `catalogue` is an index of them and `cache` holds what can be
    computed again, so both may be deleted at any time.

    Attributes:
        root: the workspace's folder, absolute.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root.expanduser().resolve())

    @property
    def settings_file(self) -> Path:
        """Name, label table and settings that a person may edit; makes a folder a workspace."""
        return self.root / "voxloop.toml"

    @property
    def catalogue(self) -> Path:
        """The SQLite index of the files below."""
        return self.root / "catalogue.sqlite"

    @property
    def audit_file(self) -> Path:
        """One line per change, each sealed with the hash of the line before."""
        return self.root / "audit.jsonl"

    @property
    def plan_file(self) -> Path:
        """The training plan."""
        return self.root / "plan.json"

    @property
    def images(self) -> Path:
        """One folder per case."""
        return self.root / "images"

    def image_folder(self, case_id: str) -> Path:
        """The record of a case, and its scans where they were copied."""
        return self.images / case_id

    def case_file(self, case_id: str) -> Path:
        """The record of a case; its existence makes the case part of the workspace."""
        return self.image_folder(case_id) / "case.json"

    @property
    def annotations(self) -> Path:
        """One folder per annotated case."""
        return self.root / "annotations"

    def annotation_folder(self, case_id: str) -> Path:
        """All revisions of a case's annotation."""
        return self.annotations / case_id

    def revision_map(self, case_id: str, number: int) -> Path:
        """The label map of a revision."""
        return self.annotation_folder(case_id) / f"{number:0{REVISION_DIGITS}d}.nii.gz"

    def revision_file(self, case_id: str, number: int) -> Path:
        """The record of a revision; its existence makes the revision part of the workspace."""
        return self.annotation_folder(case_id) / f"{number:0{REVISION_DIGITS}d}.json"

    @property
    def rounds(self) -> Path:
        """One folder per round."""
        return self.root / "rounds"

    def round_folder(self, number: int) -> Path:
        """Everything a round produced."""
        return self.rounds / str(number)

    def round_file(self, number: int) -> Path:
        """The record of a round."""
        return self.round_folder(number) / "round.json"

    def queries_file(self, number: int) -> Path:
        """What a round asked for, and what became of each query."""
        return self.round_folder(number) / "queries.json"

    def metrics_file(self, number: int) -> Path:
        """The scores of a round's model."""
        return self.round_folder(number) / "metrics.json"

    def member_folder(self, number: int, member: int) -> Path:
        """Checkpoint and resume state of one ensemble member."""
        return self.round_folder(number) / "members" / str(member)

    def validation_file(self, number: int) -> Path:
        """How good a round's model is estimated to be, from models of folds."""
        return self.round_folder(number) / "validation.json"

    def validation_folder(self, number: int) -> Path:
        """Label maps of a round's annotated cases, each predicted while it was left out."""
        return self.round_folder(number) / "validation"

    def calibration_file(self, number: int) -> Path:
        """What a round's model is to be trusted with, learned from models of folds."""
        return self.round_folder(number) / "calibration.json"

    def postprocessing_file(self, number: int) -> Path:
        """What is done to a round's predictions, chosen on models of folds."""
        return self.round_folder(number) / "postprocessing.json"

    def fold_folder(self, number: int, fold: int) -> Path:
        """Checkpoint and resume state of the model of one fold."""
        return self.round_folder(number) / "folds" / str(fold)

    def prediction_folder(self, number: int) -> Path:
        """Label maps that a round's model predicted."""
        return self.round_folder(number) / "predictions"

    def packed_map(self, number: int, case_id: str) -> Path:
        """The label map that was handed to the annotator to start from, if one was."""
        return self.round_folder(number) / "packed" / f"{case_id}.nii.gz"

    @property
    def jobs(self) -> Path:
        """One record per long job."""
        return self.root / "jobs"

    @property
    def background(self) -> Path:
        """One folder per job that runs in a process of its own."""
        return self.jobs / "background"

    @property
    def drafts(self) -> Path:
        """What annotators have drawn and not yet submitted."""
        return self.root / "drafts"

    @property
    def reviews(self) -> Path:
        """One record per judgement of a revision."""
        return self.root / "reviews"

    def review_file(self, case_id: str, revision: int, number: int) -> Path:
        """The record of a revision's review; it may be reviewed more than once."""
        return self.reviews / case_id / f"{revision:0{REVISION_DIGITS}d}-{number:02d}.json"

    @property
    def set_aside(self) -> Path:
        """Deliveries that were refused, or stored in part, as they came."""
        return self.root / "set_aside"

    @property
    def meshes(self) -> Path:
        """Surface meshes and their certificates."""
        return self.root / "meshes"

    @property
    def reports(self) -> Path:
        """Reports for people."""
        return self.root / "reports"

    @property
    def exports(self) -> Path:
        """What leaves the workspace."""
        return self.root / "exports"

    @property
    def cache(self) -> Path:
        """What can be computed again; may be deleted at any time."""
        return self.root / "cache"

    def sum_file(self, case_id: str) -> Path:
        """All that is known of a case's labels, added up before; see `sum_files`."""
        return self.cache / "sums" / f"{case_id}.npz"

    @property
    def internal(self) -> Path:
        """Locks and changes in the making."""
        return self.root / ".voxloop"

    @property
    def staging(self) -> Path:
        """One folder per change that is being prepared."""
        return self.internal / "staging"

    @property
    def arrivals(self) -> Path:
        """What is being received; of no use once the process that receives it is gone."""
        return self.internal / "arrivals"

    @property
    def commit_lock(self) -> Path:
        """Held for the moment in which a prepared change becomes real."""
        return self.internal / "commit.lock"

    def leases_file(self, number: int) -> Path:
        """Who works on which of a round's queries now; may be deleted at any time."""
        return self.internal / "leases" / f"{number}.json"

    @property
    def leases_lock(self) -> Path:
        """Held for the moment in which a query is given to somebody."""
        return self.internal / "leases.lock"

    @property
    def job_lock(self) -> Path:
        """Held by the one long job that may run at a time."""
        return self.internal / "job.lock"

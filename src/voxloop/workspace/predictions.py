"""A folder of label maps that a model made: its files, their records, and what may be replaced."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import atomic_path, remove_leftovers, write_bytes, write_json
from voxloop.dataset.case import Case
from voxloop.dataset.export import Renumbering
from voxloop.errors import DataError, Problem, UsageError
from voxloop.io.formats import write_label_map, write_volume
from voxloop.report.outcome import CaseOutcome
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["LAYOUTS", "RESERVED", "LayoutWord", "PredictionFolder", "file_sha256"]

LayoutWord = Literal["plain", "nnunet"]

LAYOUTS: tuple[LayoutWord, ...] = get_args(LayoutWord)
"""`nnunet` numbers the labels without gaps and adds what nnU-Net's evaluation reads."""

RESERVED = frozenset({"summary", "dataset", "plans"})
"""Names of files in the folder that are no records of cases."""

_FORMAT = "voxloop-segmentation-1"
_READER = "SimpleITKIO"
"""By which nnU-Net is to read the label maps."""


@dataclass(frozen=True)
class PredictionFolder:
    """Label maps `<case>.nii.gz`, each with a record `<case>.json`, and what goes with them.

    A record holds the hash of its label map and is written just before it, with the hash of the
    one replaced. So a label map is known to be ours, whenever the machine stops; any other is
    never replaced unasked, such as one that somebody has corrected.

    Attributes:
        path: the folder; need not exist.
        layout: plain or nnunet.
        table: of the model.

    Raises:
        UsageError: if the layout is unknown.
    """

    path: Path
    layout: LayoutWord
    table: LabelTable

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise UsageError(f"unknown layout {self.layout!r}: choose one of {', '.join(LAYOUTS)}")

    @property
    def stored_table(self) -> LabelTable:
        """The label table of the files."""
        if self.layout == "plain":
            return self.table
        numbers = Renumbering(self.table).names(with_ignore=False)
        return LabelTable({value: name for name, value in numbers.items()})

    def label_map_file(self, case_id: str) -> Path:
        """Where a case's label map lies."""
        return self.path / f"{case_id}.nii.gz"

    def prepare(self, channel_names: tuple[str, ...], name: str) -> None:
        """Remove what killed runs left half written; describe the folder as its layout wants."""
        for folder in (self.path, self.path / "uncertainty", self.path / "thumbnails"):
            remove_leftovers(folder)
        if self.layout == "nnunet":
            index = {
                "name": name,
                "channel_names": {str(i): channel for i, channel in enumerate(channel_names)},
                "labels": {"background": 0, **self.stored_table.to_json()},
                "numTraining": 0,
                "file_ending": ".nii.gz",
            }
            plans = {"dataset_name": name, "plans_name": "voxloop", "image_reader_writer": _READER}
            write_json(self.path / "dataset.json", index)
            write_json(self.path / "plans.json", plans)

    def kept(
        self, case: Case, source: Mapping[str, Any], *, uncertainty: bool
    ) -> CaseOutcome | None:
        """What was made of a case before, if it is still there and would be made again.

        Args:
            case: to segment.
            source: all that determines the label map, as in the record.
            uncertainty: whether that is wanted as well.
        """
        record = self._record(case.id)
        if any(record.get(key) != value for key, value in source.items()):
            return None
        found = file_sha256(self.label_map_file(case.id))
        with contextlib.suppress(KeyError, TypeError, ValueError):
            outcome = CaseOutcome.from_json(record, "kept")
            if uncertainty and not (self.path / (outcome.uncertainty or "none")).is_file():
                return None
            if found == record["label_map_sha256"]:
                return outcome
            if found not in {None, record["replaces"]}:
                remark = "changed by hand since; volumes and estimates are those of the model"
                return replace(outcome, remark=remark)
        return None

    def require_replaceable(self, case: Case) -> None:
        """Refuse to replace a label map that is not as we wrote it.

        Raises:
            DataError: if there is one.
        """
        found = file_sha256(self.label_map_file(case.id))
        record = self._record(case.id)
        if found in {None, record.get("label_map_sha256"), record.get("replaces")}:
            return
        raise DataError(
            Problem(
                case.where(self.label_map_file(case.id)),
                "no label map, or one as `voxloop segment` wrote it",
                "another one, which would be lost",
                "move it, choose another folder, or add --overwrite to replace it",
            )
        )

    def write(
        self,
        label_map: LabelMap,
        outcome: CaseOutcome,
        source: Mapping[str, Any],
        uncertainty: npt.NDArray[np.uint8] | None = None,
        thumbnail: bytes = b"",
    ) -> CaseOutcome:
        """Store a result, the label map last.

        Args:
            label_map: with the model's table.
            outcome: to be recorded; the names of the files are added.
            source: all that determines the label map.
            uncertainty: 0 to 255 on the same grid, if it is to be kept.
            thumbnail: PNG; none if empty.

        Returns:
            The outcome as recorded.

        Raises:
            StorageError: if the disk refuses.
        """
        started = time.monotonic()
        path = self.label_map_file(outcome.id)
        extra: dict[str, Any] = {}
        outcome = replace(outcome, label_map=path.name)
        name = f"uncertainty/{outcome.id}.nii.gz"
        if uncertainty is None:  # one of another model or scan must not lie beside this label map
            (self.path / name).unlink(missing_ok=True)
        else:
            write_volume(self.path / name, Volume(uncertainty, label_map.geometry))
            outcome = replace(outcome, uncertainty=name)
            extra["uncertainty_scale"] = {
                "factor": 1 / 255,
                "meaning": "predictive entropy over the logarithm of the number of classes: "
                "0 sure, 1 (stored as 255) all classes alike",
            }
        if thumbnail:
            name = f"thumbnails/{outcome.id}.png"
            write_bytes(self.path / name, thumbnail)
            outcome = replace(outcome, thumbnail=name)
        with atomic_path(path) as temporary:
            self._write_map(temporary, label_map)
            took = round(time.monotonic() - started, 3)
            outcome = replace(outcome, seconds={**outcome.seconds, "write": took})
            record = {
                "format": _FORMAT,
                **source,
                **outcome.to_json(),
                **extra,
                "label_map_sha256": file_sha256(temporary),
                "replaces": file_sha256(path),
            }
            write_json(self._record_file(outcome.id), record)
        return outcome

    def earlier(self, without: set[str]) -> Iterator[CaseOutcome]:
        """Results of other batches that lie here.

        Args:
            without: ids of the cases of this batch.
        """
        for path in sorted(self.path.glob("*.json")):
            if path.stem in without or path.stem in RESERVED:
                continue
            if not self.label_map_file(path.stem).is_file():
                continue
            with contextlib.suppress(KeyError, TypeError, ValueError):
                yield CaseOutcome.from_json(self._record(path.stem), "earlier")

    def _write_map(self, path: Path, label_map: LabelMap) -> None:
        if self.layout == "nnunet":
            write_volume(path, Renumbering(self.table).apply(label_map))
        else:
            write_label_map(path, label_map)

    def _record_file(self, case_id: str) -> Path:
        return self.path / f"{case_id}.json"

    def _record(self, case_id: str) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            record = json.loads(self._record_file(case_id).read_text())
            if isinstance(record, dict) and record.get("format") == _FORMAT:
                return record
        return {}


def file_sha256(path: Path) -> str | None:
    """Hash of a file's content; None if there is no such file.

    Raises:
        DataError: if it is there and cannot be read.
    """
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except IsADirectoryError as error:
        found, remedy = "a folder", "rename the folder, or take it away"
        raise DataError(Problem(str(path), "a file", found, remedy)) from error
    except PermissionError as error:
        found, remedy = "no permission", "ask for access to it"
        raise DataError(Problem(str(path), "a readable file", found, remedy)) from error
    except OSError as error:
        found, remedy = str(error.strerror or error), "check the disk, copy the file again"
        raise DataError(Problem(str(path), "a readable file", found, remedy)) from error

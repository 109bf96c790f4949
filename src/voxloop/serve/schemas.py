"""The documents that the API takes and gives."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from voxloop.volume.runs import Patch
from voxloop.workspace.actions.skip import SKIP_REASONS
from voxloop.workspace.background.request import STEPS
from voxloop.workspace.reviews import MOST_REMARK, Verdict

__all__ = [
    "AnnotationBody",
    "CaseList",
    "CaseOut",
    "Document",
    "DraftBody",
    "DraftSaved",
    "FillBody",
    "JobBody",
    "JobOut",
    "LabelOut",
    "LabelQualityOut",
    "LeaseOut",
    "PatchBody",
    "ProblemOut",
    "QualityOut",
    "QueryList",
    "QueryOut",
    "RegionOut",
    "ReviewBody",
    "ServerOut",
    "SkipBody",
]

Index = Annotated[int, Field(ge=0, le=65535)]
Triple = Annotated[list[Index], Field(min_length=3, max_length=3)]
Hash = Annotated[str, Field(pattern=r"^([0-9a-f]{64}|none|)$")]
Document = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemOut(BaseModel):
    """What is wrong, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    problems: list[dict[str, str]] = []


class LabelOut(BaseModel):
    """One label of the workspace's table."""

    value: int
    name: str
    colour: str


class ServerOut(BaseModel):
    """What a client needs to know first."""

    voxloop: str
    workspace: dict[str, str]
    labels: list[LabelOut]
    ignore: int
    limits: dict[str, float]
    skip_reasons: list[str]
    steps: list[str]


class LabelQualityOut(BaseModel):
    """What one label of a proposal is expected to be worth; null is not known."""

    name: str
    volume_ml: float
    dice: float | None = None
    dice_low: float | None = None
    dice_high: float | None = None
    surface_mm: float | None = None
    surface_low: float | None = None
    surface_high: float | None = None
    n_calibration: int = 0
    note: str = ""
    part_dice: float | None = None


class QualityOut(BaseModel):
    """What a proposal is expected to be worth, and why it is to be checked before use."""

    labels: list[LabelQualityOut]
    checks: list[str]
    why_unknown: str


class CaseOut(BaseModel):
    """One case and how it stands."""

    id: str
    shape: list[int]
    spacing_mm: list[float]
    affine: list[list[float]]
    orientation: str
    slice_axis: int
    channels: list[str]
    revisions: int
    etag: str
    voxel_share: float
    slice_share: float
    labels: dict[str, int]
    asked: list[str]
    has_proposal: bool
    has_uncertainty: bool
    open_queries: int
    quality: QualityOut | None


class CaseList(BaseModel):
    """All cases."""

    cases: list[CaseOut]


class PatchBody(_Strict):
    """The values of a half-open box: value, count, value, count; the first axis runs fastest."""

    start: Triple
    stop: Triple
    rle: Annotated[list[int], Field(min_length=2, max_length=4_000_000)]

    def patch(self, shape: tuple[int, int, int]) -> Patch:
        """Unpacked, in a grid of `shape`."""
        return Patch.from_runs(self.start, self.stop, self.rle, shape)


Patches = Annotated[list[PatchBody], Field(max_length=10_000)]


class AnnotationBody(_Strict):
    """What was drawn: the patches one over the other; nobody looked anywhere else."""

    patches: Annotated[list[PatchBody], Field(min_length=1, max_length=10_000)]


class DraftBody(_Strict):
    """What was drawn since the last save."""

    patches: Patches
    base: Hash = ""
    seconds: Annotated[float | None, Field(ge=0, le=1e7)] = None
    after: Annotated[int | None, Field(ge=0, le=10_000_000)] = None


class LeaseOut(BaseModel):
    """Who works on a query, until when."""

    author: str
    until: str


class DraftSaved(BaseModel):
    """That a save is on the disk."""

    count: int
    lease: LeaseOut | None


class RegionOut(BaseModel):
    """A half-open box of voxels."""

    start: list[int]
    stop: list[int]


class QueryOut(BaseModel):
    """What is asked for."""

    id: str
    number: int
    case: str
    region: RegionOut
    axis: int | None
    reason: str
    strategy: str
    score: float
    cost: float
    unit: str
    status: str
    lease: LeaseOut | None


class QueryList(BaseModel):
    """The current round's queries."""

    round: int | None
    stage: str | None
    queries: list[QueryOut]


class SkipBody(_Strict):
    """Why a query is skipped."""

    reason: Literal[SKIP_REASONS]  # type: ignore[valid-type] # words from the action itself


class ReviewBody(_Strict):
    """What is said of a revision."""

    verdict: Verdict
    remark: Annotated[str, Field(max_length=MOST_REMARK)] = ""


class FillBody(_Strict):
    """Two drawn slices, or more, between which to fill; across `axis`, and by what."""

    axis: Annotated[int, Field(ge=0, le=2)]
    patches: Annotated[list[PatchBody], Field(min_length=2, max_length=200)]
    by: Literal["distance", "model"] = "distance"


class JobBody(_Strict):
    """A job to start; numbers as in `voxloop train` and `voxloop suggest`."""

    steps: Annotated[
        list[Literal[STEPS]],  # type: ignore[valid-type] # words from the request itself
        Field(min_length=1, max_length=len(STEPS)),
    ]
    minutes: Annotated[float, Field(gt=0, le=10080)] = 10.0
    optimiser_steps: Annotated[int | None, Field(ge=1, le=10_000_000)] = None
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    query_size: Annotated[int, Field(ge=1, le=1000)] = 16
    strategy: Annotated[str, Field(max_length=60, pattern=r"^[a-z0-9_]*$")] = ""
    regions: Literal["planes", "slices", "slice_boxes", "boxes", "volumes"] = "planes"
    side_mm: Annotated[float, Field(ge=1, le=1000)] = 40.0
    labelling_minutes: Annotated[float | None, Field(ge=0.1, le=10_000)] = None
    control: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    folds: Annotated[int, Field(ge=2, le=100)] = 5


class JobOut(BaseModel):
    """A job and how it stands."""

    id: str
    steps: list[str]
    state: str
    step: str
    started: str
    finished: str | None
    message: str
    progress: Document | None
    lines: list[str]
    results: Document
    resumable: bool

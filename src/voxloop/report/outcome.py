"""What became of each scan of a batch, as it is recorded and shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from voxloop.errors import Problem

__all__ = [
    "CaseEstimate",
    "CaseOutcome",
    "Estimate",
    "LabelOutcome",
    "Quality",
    "Reason",
    "State",
]

State = Literal["done", "kept", "failed", "waiting", "earlier"]
"""`done` now, `kept` from before, `failed`, not reached yet; or of an earlier, other batch."""


class Reason(Protocol):
    """Why a result is to be checked before use."""

    @property
    def reason(self) -> str:
        """For a person, a clause that needs no other."""


class Estimate(Protocol):
    """A predicted quality of one label of one case; None where nothing can be said."""

    @property
    def label(self) -> str:
        """Name of the label."""

    @property
    def dice(self) -> float | None:
        """Predicted Dice."""

    @property
    def dice_low(self) -> float | None:
        """Lower end of its interval."""

    @property
    def dice_high(self) -> float | None:
        """Upper end of its interval."""

    @property
    def surface_mm(self) -> float | None:
        """Predicted surface error in millimetres."""

    @property
    def surface_low(self) -> float | None:
        """Lower end of its interval."""

    @property
    def surface_high(self) -> float | None:
        """Upper end of its interval."""

    @property
    def n_calibration(self) -> int:
        """Cases it was calibrated on."""

    @property
    def part_dice(self) -> float | None:
        """Dice expected on voxels like those annotated, for the order of predictions only."""

    @property
    def flags(self) -> Sequence[Reason]:
        """Why the label is to be checked."""

    @property
    def note(self) -> str:
        """How sure the intervals are, or why there are none."""


class CaseEstimate(Protocol):
    """Predicted quality of a whole case."""

    @property
    def labels(self) -> Sequence[Estimate]:
        """One per label that anything can be said of."""

    @property
    def flags(self) -> Sequence[Reason]:
        """Why the case as a whole is to be checked."""


@dataclass(frozen=True, slots=True)
class Quality:
    """An estimate as it is stored: what is not finite is unknown.

    Attributes:
        dice: predicted Dice; None where there is nothing to predict it from.
        dice_low: lower end of its interval.
        dice_high: upper end of its interval.
        surface_mm: predicted surface error in millimetres.
        surface_low: lower end of its interval.
        surface_high: upper end of its interval.
        n_calibration: cases it was calibrated on.
        flags: why the label is to be checked before use, in words.
        note: how sure the intervals are, or why there are none.
        part_dice: Dice expected on voxels like those annotated, where none is predicted for the
            whole; for the order of predictions only.
    """

    dice: float | None
    dice_low: float | None
    dice_high: float | None
    surface_mm: float | None
    surface_low: float | None
    surface_high: float | None
    n_calibration: int
    flags: tuple[str, ...]
    note: str = ""
    part_dice: float | None = None

    @property
    def order(self) -> float:
        """The lower, the sooner it is worth a look; infinite where nothing tells."""
        known = self.part_dice if self.dice is None else self.dice
        return math.inf if known is None else known

    @classmethod
    def of(cls, estimate: Estimate) -> Quality:
        """Take over an estimate, rounded to what can be told apart."""
        return cls(
            _finite(estimate.dice, 4),
            _finite(estimate.dice_low, 4),
            _finite(estimate.dice_high, 4),
            _finite(estimate.surface_mm, 3),
            _finite(estimate.surface_low, 3),
            _finite(estimate.surface_high, 3),
            int(estimate.n_calibration),
            tuple(flag.reason for flag in estimate.flags),
            estimate.note,
            _finite(estimate.part_dice, 4),
        )


@dataclass(frozen=True, slots=True)
class LabelOutcome:
    """One label of one case.

    Attributes:
        name: of the label.
        volume_ml: what was found of it, in millilitres.
        quality: how good that is expected to be; None where the model is not calibrated.
    """

    name: str
    volume_ml: float
    quality: Quality | None = None


@dataclass(frozen=True)
class CaseOutcome:
    """What became of one scan.

    Attributes:
        id: of the case.
        state: done, kept, failed, waiting or earlier.
        per_label: in the order of the label table; empty unless there is a label map.
        flags: why the case as a whole is to be checked before use.
        problems: what was wrong, if it failed.
        cause: whether the data, a declared limit or a bug of ours made it fail.
        traceback: of a bug of ours.
        seconds: wall time, by stage.
        peak_bytes: the most memory the process had held until then.
        engine: what ran the network.
        label_map: file of the label map, relative to the folder, as are those below.
        uncertainty: file of the uncertainty; empty if there is none.
        thumbnail: file of the picture; empty if there is none.
        remark: what else is to be known.
    """

    id: str
    state: State
    per_label: tuple[LabelOutcome, ...] = ()
    flags: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    cause: Literal["", "data", "limit", "bug"] = ""
    traceback: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: int = 0
    engine: str = ""
    label_map: str = ""
    uncertainty: str = ""
    thumbnail: str = ""
    remark: str = ""

    @property
    def checks(self) -> tuple[str, ...]:
        """Every reason to check the result before use, of the case and of its labels."""
        of_labels = (flag for quality in self._qualities for flag in quality.flags)
        return (*self.flags, *of_labels)

    @property
    def _qualities(self) -> tuple[Quality, ...]:
        return tuple(label.quality for label in self.per_label if label.quality is not None)

    @property
    def rank(self) -> tuple[int, float, str]:
        """For sorting, worst first: failed, to be checked, poor, good, and what is to come."""
        group = {"failed": 0, "waiting": 3}.get(self.state, 1 if self.checks else 2)
        worst = min((quality.order for quality in self._qualities), default=math.inf)
        return group, worst, self.id

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return {**asdict(self), "checks": list(self.checks)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], state: State) -> CaseOutcome:
        """Read what `to_json` wrote of a case that has a label map; other keys may be there.

        Raises:
            KeyError, TypeError, ValueError: if it is no such document.
        """
        return cls(
            id=str(document["id"]),
            state=state,
            per_label=tuple(_label(entry) for entry in document["per_label"]),
            flags=tuple(map(str, document["flags"])),
            seconds={str(key): float(value) for key, value in document["seconds"].items()},
            peak_bytes=int(document["peak_bytes"]),
            engine=str(document["engine"]),
            label_map=str(document["label_map"]),
            uncertainty=str(document["uncertainty"]),
            thumbnail=str(document["thumbnail"]),
            remark=str(document["remark"]),
        )


def _label(entry: Mapping[str, Any]) -> LabelOutcome:
    known = entry["quality"]
    quality = None if known is None else Quality(**{**known, "flags": tuple(known["flags"])})
    return LabelOutcome(str(entry["name"]), float(entry["volume_ml"]), quality)


def _finite(value: float | None, digits: int) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits)

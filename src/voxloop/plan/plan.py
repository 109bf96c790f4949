"""Everything that differs between data sets, decided once, with the reason for each choice."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from voxloop.compute.atomic import write_json
from voxloop.errors import DataError, Problem
from voxloop.volume.labels import LabelTable

__all__ = ["POSITION_SCALE_MM", "SCHEMA_VERSION", "Normalisation", "Plan", "load_plan", "save_plan"]

SCHEMA_VERSION = 1

POSITION_SCALE_MM = 100.0
"""Position channels hold the distance from the volume's centre in these units."""

_NEAR = 0.1
"""Spacings that differ by less than about this share show structures at the same size."""

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Normalisation:
    """How one channel's intensities become network input.

    Attributes:
        method: `volume` standardises each volume by its own mean and standard deviation after
            clipping to its 0.5 and 99.5 percentiles, all taken from the body where the scan was
            masked; `fixed` clips to `clip` and standardises by `mean` and `sd`, the same for
            every case.
        clip: lower and upper limit, for `fixed`.
        mean: subtracted, for `fixed`.
        sd: divided by, for `fixed`.
    """

    method: Literal["volume", "fixed"]
    clip: tuple[float, float] | None = None
    mean: float = 0.0
    sd: float = 1.0

    def __post_init__(self) -> None:
        if self.method == "fixed" and (self.clip is None or self.sd <= 0):
            message = "a fixed normalisation needs clip limits and a positive sd"
            raise ValueError(message)


@dataclass(frozen=True)
class Plan:
    """How scans become network input and what the network looks like. Axes are R, A, S.

    Attributes:
        labels: name to value.
        channel_names: one per input channel.
        spacing_mm: voxel spacing of the network's input.
        normalisation: one per channel.
        patch_shape: voxels of a training patch and of an inference tile.
        batch_size: patches per step.
        stem: voxels folded into channels along each axis by the first layer, 1 or 2.
        strides: for each level below the first, the downsampling along each axis.
        widths: channels of each level.
        use_position: three more input channels hold the place in the body.
        mirror_axes: axes along which training may mirror.
        memory_bytes: what a training step is estimated to hold at its peak.
        reasons: for each choice, why.
        deformation: how strongly training patches are rotated, zoomed and bent; 1 is the usual.
        schema_version: of this document.
    """

    labels: Mapping[str, int]
    channel_names: tuple[str, ...]
    spacing_mm: tuple[float, float, float]
    normalisation: tuple[Normalisation, ...]
    patch_shape: Triple
    batch_size: int
    stem: Triple
    strides: tuple[Triple, ...]
    widths: tuple[int, ...]
    use_position: bool
    mirror_axes: tuple[int, ...]
    memory_bytes: int
    reasons: Mapping[str, str]
    deformation: float = 1.0
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.strides) + 1:
            message = f"{len(self.widths)} widths need {len(self.widths) - 1} strides"
            raise ValueError(message)
        if not 0 <= self.deformation <= 3:
            message = f"a deformation from 0 to 3 is needed, found {self.deformation}"
            raise ValueError(message)
        for axis in range(3):
            if self.patch_shape[axis] % self.divisor[axis]:
                message = f"patch shape {self.patch_shape} is no multiple of {self.divisor}"
                raise ValueError(message)

    @property
    def divisor(self) -> Triple:
        """What a patch's length must be a multiple of along each axis."""
        total = list(self.stem)
        for stride in self.strides:
            total = [t * s for t, s in zip(total, stride, strict=True)]
        return total[0], total[1], total[2]

    @property
    def table(self) -> LabelTable:
        """The labels as a table."""
        return LabelTable({value: name for name, value in self.labels.items()})

    @property
    def input_channels(self) -> int:
        """Channels that the network receives."""
        return len(self.channel_names) + (3 if self.use_position else 0)

    def has_network_of(self, other: Plan) -> bool:
        """True if weights learned under the other plan mean the same under this one."""
        same = ("labels", "channel_names", "stem", "strides", "widths", "use_position")
        near = max(
            abs(math.log(a / b)) for a, b in zip(self.spacing_mm, other.spacing_mm, strict=True)
        )
        return near < _NEAR and all(getattr(self, name) == getattr(other, name) for name in same)

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "plan") -> Plan:
        """Read what `to_json` wrote; unknown or missing keys are an error that names them.

        Raises:
            DataError: if the document is not a plan of this version.
        """
        _check_keys(document, where)
        values = {key: _tuples(value) for key, value in document.items()}
        try:
            values["labels"] = dict(document["labels"])
            values["reasons"] = dict(document["reasons"])
            values["normalisation"] = tuple(
                Normalisation(**{k: _tuples(v) for k, v in entry.items()})
                for entry in document["normalisation"]
            )
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise DataError(
                Problem(where, "a valid plan", str(error), "plan again: voxloop train --replan")
            ) from error


def save_plan(path: Path, plan: Plan) -> None:
    """Write the plan as readable JSON, atomically."""
    write_json(path, plan.to_json())


def load_plan(path: Path) -> Plan:
    """Read a plan that `save_plan` wrote.

    Raises:
        DataError: if the file is missing, is not JSON, or is not a plan of this version.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            Problem(str(path), "a plan in JSON", str(error), "run voxloop train to plan again")
        ) from error
    return Plan.from_json(document, str(path))


def _check_keys(document: Mapping[str, Any], where: str) -> None:
    known = {field.name for field in fields(Plan)}
    required = {field.name for field in fields(Plan) if field.default is MISSING}
    version = document.get("schema_version") if isinstance(document, Mapping) else None
    if version != SCHEMA_VERSION:
        raise DataError(
            Problem(where, f"schema_version {SCHEMA_VERSION}", f"{version}", "plan again")
        )
    problems = []
    for key in sorted(set(document) - known):
        nearest = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else "remove it"
        problems.append(Problem(where, "known keys only", f"{key!r}", hint))
    problems.extend(
        Problem(where, f"the key {key!r}", "nothing", "plan again")
        for key in sorted(required - set(document))
    )
    if problems:
        raise DataError(problems)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value

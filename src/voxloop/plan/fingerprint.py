"""What the plan is derived from: the sizes, spacings and intensities of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.dataset.annotation import Target
from voxloop.errors import DataError, Problem
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import Volume

__all__ = ["CaseFingerprint", "Fingerprint", "fingerprint_case", "summarise_cases"]

_ONLY_CT_BELOW = -500.0
"""Lowest intensities under this are air in Hounsfield units; no MR has them."""

_SAMPLE = 20_000
"""Voxels drawn per case for intensity statistics: percentiles are then good to a per cent."""


@dataclass(frozen=True)
class CaseFingerprint:
    """One case, measured on its canonical (RAS+) grid.

    Attributes:
        shape: voxels along right, anterior, superior.
        spacing_mm: spacing along the same axes.
        intensity: per channel the 0.5, 50 and 99.5 percentiles of the whole image.
        foreground_sample: per channel up to 2000 intensities under annotated labels.
        annotated_vox: voxels that somebody looked at.
        label_vox: annotated voxels of each label value.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    intensity: tuple[tuple[float, float, float], ...]
    foreground_sample: tuple[tuple[float, ...], ...]
    annotated_vox: int
    label_vox: Mapping[int, int]


@dataclass(frozen=True)
class Fingerprint:
    """A data set in numbers; all that the planner looks at.

    Attributes:
        cases: number of cases measured.
        shape: median voxels along right, anterior, superior.
        largest_shape: the most voxels along each of these axes.
        spacing_mm: median spacing along the same axes.
        is_ct: the intensities are Hounsfield units.
        foreground_range: per channel the 0.5 and 99.5 percentile under annotated labels.
        foreground_mean_sd: per channel mean and standard deviation within that range.
        annotated_vox: voxels that somebody looked at, all cases together.
        label_cases: for each label value, in how many cases it was annotated.
    """

    cases: int
    shape: tuple[int, int, int]
    largest_shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    is_ct: bool
    foreground_range: tuple[tuple[float, float], ...]
    foreground_mean_sd: tuple[tuple[float, float], ...]
    annotated_vox: int
    label_cases: Mapping[int, int]

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        document = asdict(self)
        document["label_cases"] = {str(value): n for value, n in self.label_cases.items()}
        return document


def fingerprint_case(
    channels: tuple[Volume, ...], target: Target, rng: np.random.Generator
) -> CaseFingerprint:
    """Measure one case.

    Args:
        channels: images on one grid.
        target: what is known of the labels on that grid.
        rng: draws the voxels that the statistics are taken from.
    """
    grid = channels[0].geometry.canonical()
    labelled = np.isin(target.values, target.labels.values)
    counts = np.bincount(target.values.ravel(), minlength=256)
    return CaseFingerprint(
        shape=grid.shape,
        spacing_mm=grid.spacing_mm,
        intensity=tuple(_percentiles(_draw(c.array.ravel(), _SAMPLE, rng)) for c in channels),
        foreground_sample=tuple(
            tuple(_draw(c.array[labelled], _SAMPLE // 10, rng).tolist()) for c in channels
        ),
        annotated_vox=int(target.looked_at.sum()),
        label_vox={value: int(counts[value]) for value in target.labels.values},
    )


def summarise_cases(
    cases: Iterable[CaseFingerprint], channel_names: tuple[str, ...], labels: LabelTable
) -> Fingerprint:
    """Sum up the cases of a data set.

    Args:
        cases: one fingerprint per case that has annotations.
        channel_names: as in the data set; a first channel named `CT` means Hounsfield
            units, and so do intensities that reach down to air's.
        labels: the label table.

    Raises:
        DataError: if there is no case.
    """
    measured = tuple(cases)
    if not measured:
        raise DataError(
            Problem(
                "data set",
                "at least one annotated case",
                "none",
                "annotate a slice and run `voxloop collect` first",
            )
        )
    shapes = np.array([c.shape for c in measured])
    spacings = np.array([c.spacing_mm for c in measured])
    foreground = [
        np.concatenate([np.asarray(c.foreground_sample[n], dtype=float) for c in measured])
        for n in range(len(channel_names))
    ]
    ranges = tuple(
        _range(values, [c.intensity[n] for c in measured]) for n, values in enumerate(foreground)
    )
    return Fingerprint(
        cases=len(measured),
        shape=_triple(np.median(shapes, axis=0)),
        largest_shape=_triple(shapes.max(axis=0)),
        spacing_mm=tuple(float(v) for v in np.median(spacings, axis=0)),  # type: ignore[arg-type]
        is_ct=channel_names[0].strip().upper() == "CT" or _reaches_air(measured),
        foreground_range=ranges,
        foreground_mean_sd=tuple(
            _mean_sd(values, limits) for values, limits in zip(foreground, ranges, strict=True)
        ),
        annotated_vox=sum(c.annotated_vox for c in measured),
        label_cases={
            value: sum(c.label_vox.get(value, 0) > 0 for c in measured) for value in labels
        },
    )


def _reaches_air(cases: tuple[CaseFingerprint, ...]) -> bool:
    return float(np.median([case.intensity[0][0] for case in cases])) < _ONLY_CT_BELOW


def _draw(
    values: npt.NDArray[Any], count: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    if values.size > count:
        values = values[rng.integers(0, values.size, count)]
    return np.asarray(values, dtype=np.float64)


def _percentiles(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, [0.5, 50, 99.5])
    return float(low), float(middle), float(high)


def _range(
    values: npt.NDArray[np.float64], intensity: list[tuple[float, float, float]]
) -> tuple[float, float]:
    if values.size == 0:  # nothing annotated but background: take the images' own range
        whole = np.median(np.array(intensity), axis=0)
        return float(whole[0]), float(whole[2])
    low, high = np.percentile(values, [0.5, 99.5])
    return float(low), float(max(high, low + 1))  # a structure of one intensity still has a width


def _mean_sd(values: npt.NDArray[np.float64], limits: tuple[float, float]) -> tuple[float, float]:
    if values.size == 0:
        return (limits[0] + limits[1]) / 2, max((limits[1] - limits[0]) / 4, 1e-6)
    clipped = np.clip(values, *limits)
    return float(clipped.mean()), float(max(clipped.std(), 1e-6))


def _triple(values: npt.NDArray[Any]) -> tuple[int, int, int]:
    i, j, k = (int(v) for v in np.rint(values))
    return i, j, k

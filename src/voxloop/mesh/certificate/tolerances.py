"""What a surface may differ by from the label map it stands for, and how sound it must be."""

from __future__ import annotations

from dataclasses import dataclass

from voxloop.errors import UsageError

__all__ = ["Tolerances"]


@dataclass(frozen=True, slots=True)
class Tolerances:
    """The limits a surface is judged by.

    Distances in voxels are measured along the grid's own axes, each by its spacing, as smoothing
    is bounded: on thick slices a surface may deviate more across them. No surface can be truer
    than the grid it comes from.

    Attributes:
        volume_percent: change of volume against the label's voxels.
        p95_vox: 95th percentile of the surface distance.
        max_vox: largest surface distance.
        centroid_vox: distance between the centres of gravity, a voxel's size being the cube root
            of its volume; a mirrored or shifted surface fails. Between thick slices the centre is
            that of the labels interpolated there, which leave the slices themselves as they are.
        tolerance_mm: largest surface distance in millimetres, whatever the direction; where
            given, it stands in for both limits in voxels.
        min_wall_mm: all but one hundredth of the surface must have thicker walls; not judged
            where None.
        pieces: solid pieces; not judged where None.
        stairs_percent: share of the area that leans away from its surroundings like the steps of
            voxels; not judged where None. Raw voxel surfaces have 58 or more.

    Raises:
        UsageError: if `tolerance_mm` or `min_wall_mm` is not above 0.
    """

    volume_percent: float = 3.0
    p95_vox: float = 0.5
    max_vox: float = 1.0
    centroid_vox: float = 0.5
    tolerance_mm: float | None = None
    min_wall_mm: float | None = None
    pieces: int | None = 20
    stairs_percent: float | None = 40.0

    def __post_init__(self) -> None:
        for name in ("tolerance_mm", "min_wall_mm"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise UsageError(f"{name} must be above 0, found {limit:g}")

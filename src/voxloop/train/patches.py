"""Which part of which case a training step sees, as a pure function of seed and step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from voxloop.dataset.annotation import Target
from voxloop.errors import DataError, Problem
from voxloop.plan.plan import POSITION_SCALE_MM, Plan
from voxloop.train.augment import (
    apply_intensity,
    control_positions,
    draw_intensity,
    draw_spatial,
    sample_block,
    spread,
)
from voxloop.train.losses import merge_table
from voxloop.volume.boxes import Box
from voxloop.volume.labels import BACKGROUND, IGNORE, LabelTable

__all__ = ["Batch", "PatchSource", "TrainingCase"]

IntArray = npt.NDArray[np.int64]

_REMEMBERED = 5_000
"""Voxels kept per case and class as possible patch centres; more would add nothing but memory."""

_FOREGROUND_SHARE = 0.67
"""Of the patches, centred on an annotated label; each label is equally likely."""

_JITTER = 0.15
"""Patch centres move by up to this share of the patch: labels must not always be central."""

_REACH = 0.75
"""Half-width of the block read around a patch, in patch lengths: room for rotation and zoom."""


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A prepared case with something to learn from.

    Attributes:
        id: the case.
        image: (C, I, J, K) float32 on the network's grid; may be a memory map.
        target: what is known of the labels on the same grid.
        spacing_mm: of that grid.
    """

    id: str
    image: npt.NDArray[np.float32]
    target: Target
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step learns from.

    Attributes:
        image: (N, C, I, J, K) float32, position channels included.
        classes: (N, I, J, K) uint8 class indices, `IGNORE` where nobody looked.
        asked: (N, I, J, K) uint8 row of the merge table.
    """

    image: Tensor
    classes: Tensor
    asked: Tensor


class PatchSource:
    """Draws batches from prepared cases; the same seed and step always give the same batch.

    Args:
        cases: prepared cases, at least one of them annotated.
        plan: patch shape, batch size and augmentation.
        seed: of everything random.

    Raises:
        DataError: if nothing is annotated, or no annotated voxel carries a label.
    """

    def __init__(self, cases: tuple[TrainingCase, ...], plan: Plan, seed: int) -> None:
        self._plan, self._seed = plan, seed
        self._cases = tuple(case for case in cases if case.target.looked_at.any())
        sets, self._maps = _class_maps(self._cases, plan.table)
        self.merged = merge_table(sets, plan.table.values)
        rng = np.random.default_rng([seed, 0])
        self._places = [
            _places(maps[0], case.image[0], len(plan.labels) + 1, rng)
            for case, maps in zip(self._cases, self._maps, strict=True)
        ]
        self._holders = [
            [n for n, places in enumerate(self._places) if places[c].size]
            for c in range(len(plan.labels) + 1)
        ]
        if not any(self._holders[1:]):
            raise DataError(
                Problem(
                    "annotations",
                    f"at least one voxel labelled {' or '.join(plan.labels)}",
                    "background only" if self._cases else "no annotated case",
                    "annotate a slice in which a structure is visible",
                )
            )

    def batch(self, step: int) -> Batch:
        """The batch of a step, augmented."""
        rng = np.random.default_rng([self._seed, 1, step])
        parts = [self._patch(rng) for _ in range(self._plan.batch_size)]
        images, classes, asked = zip(*parts, strict=True)
        return Batch(torch.stack(images), torch.stack(classes), torch.stack(asked))

    def _patch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        plan = self._plan
        number, centre = self._choose(rng)
        case = self._cases[number]
        shape = case.image.shape[1:]
        reach = [int(np.ceil(n * _REACH)) for n in plan.patch_shape]
        around = Box.centred((centre[0], centre[1], centre[2]), (1, 1, 1))
        block = around.padded((reach[0], reach[1], reach[2]), (shape[0], shape[1], shape[2]))
        image = torch.from_numpy(np.array(case.image[(slice(None), *block.slices)]))
        labels = torch.from_numpy(np.ascontiguousarray(self._maps[number][:, *block.slices]))
        spacing = np.asarray(case.spacing_mm)
        extent = plan.patch_shape * spacing
        size_mm = (extent[0], extent[1], extent[2])
        how = draw_spatial(rng, size_mm, plan.mirror_axes, plan.deformation)
        offset_mm = control_positions(how, plan.patch_shape, case.spacing_mm)
        control_vox = offset_mm / _column(spacing) + _column(centre - np.array(block.start))
        picture, maps = sample_block(image, labels, control_vox, plan.patch_shape)
        picture = apply_intensity(picture, draw_intensity(rng))
        if plan.use_position:
            middle_mm = (centre - (np.array(shape) - 1) / 2) * spacing
            place = spread(offset_mm + _column(middle_mm), plan.patch_shape)
            picture = torch.cat([picture, place.movedim(-1, 0) / POSITION_SCALE_MM])
        return picture, maps[0], maps[1]

    def _choose(self, rng: np.random.Generator) -> tuple[int, IntArray]:
        """A case and a patch centre; foreground first, then anywhere annotated."""
        present = [c for c in range(1, len(self._holders)) if self._holders[c]]
        if rng.random() < _FOREGROUND_SHARE or not self._holders[BACKGROUND]:
            wanted = present[rng.integers(len(present))]
        else:
            wanted = BACKGROUND
        number = self._holders[wanted][rng.integers(len(self._holders[wanted]))]
        shape = np.array(self._cases[number].image.shape[1:])
        patch = np.array(self._plan.patch_shape)
        flat = self._places[number][wanted]
        place = np.array(np.unravel_index(flat[rng.integers(flat.size)], tuple(shape)))
        centre = np.clip(place, patch // 2, np.maximum(patch // 2, shape - (patch + 1) // 2))
        centre = np.where(shape <= patch, shape // 2, centre)
        jitter = rng.integers(-np.rint(patch * _JITTER), np.rint(patch * _JITTER) + 1)
        # a voxel at the scan's border is near the patch's: jitter must not push it out
        centre = np.clip(centre + jitter, place - (patch - 1) // 2, place + patch // 2)
        return number, np.clip(centre.astype(int), 0, shape - 1)


def _column(values: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).view(3, 1, 1, 1)


def _class_maps(
    cases: tuple[TrainingCase, ...], labels: LabelTable
) -> tuple[tuple[frozenset[int], ...], list[npt.NDArray[np.uint8]]]:
    """Per case (2, I, J, K): class indices, and rows of one table of asked sets for all cases."""
    sets: list[frozenset[int]] = [frozenset()]
    to_class = np.full(256, IGNORE, dtype=np.uint8)
    to_class[[BACKGROUND, *labels.values]] = np.arange(len(labels) + 1)
    maps = []
    for case in cases:
        rows = np.zeros(256, dtype=np.uint8)
        for index, asked in enumerate(case.target.asked_sets):
            if asked not in sets:
                sets.append(asked)
            rows[index] = sets.index(asked)
        maps.append(np.stack([to_class[case.target.values], rows[case.target.asked]]))
    return tuple(sets), maps


def _places(
    classes: npt.NDArray[np.uint8],
    image: npt.NDArray[np.float32],
    count: int,
    rng: np.random.Generator,
) -> list[IntArray]:
    """For each class, flat indices of (at most some thousand) voxels that carry it.

    Half of the background is taken from where there is something to see, if there is: the air
    around a body and the padding of a masked scan hold the lowest intensity. The other half comes
    from anywhere, since a network that never saw emptiness finds structures in it.
    """
    places = []
    for value in range(count):
        pools = [np.flatnonzero(classes.ravel() == value)]
        if value == BACKGROUND:
            pools.append(pools[0][image.ravel()[pools[0]] > image.min()])
        most = _REMEMBERED // len(pools)
        picked = [rng.choice(pool, min(pool.size, most), replace=False) for pool in pools]
        places.append(np.concatenate(picked))
    return places

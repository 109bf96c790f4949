"""Crumbs and holes removed from a label map, by rules that were chosen because they helped."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box, bounding_box
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.volume import LabelArray

__all__ = ["LabelRule", "PostProcessing", "apply", "apply_rule"]

_FORMAT = "voxloop-postprocessing-1"

Mask = npt.NDArray[np.bool_]
SpacingMm = tuple[float, float, float]


@dataclass(frozen=True)
class LabelRule:
    """What is done to one label; at its defaults, nothing.

    Attributes:
        value: of the label.
        least_ml: pieces smaller than this are taken for crumbs.
        largest_only: all pieces but the largest are.
        fill_holes: background that the label encloses becomes the label.
        reason: why the rule was chosen, with its numbers.

    Raises:
        ValueError: if the least volume is negative or not finite.
    """

    value: int
    least_ml: float = 0.0
    largest_only: bool = False
    fill_holes: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.least_ml) and self.least_ml >= 0):
            raise ValueError(f"the least volume is 0 ml or more, found {self.least_ml}")

    @property
    def does_nothing(self) -> bool:
        """True if no label map is changed by it."""
        return not (self.least_ml or self.largest_only or self.fill_holes)


@dataclass(frozen=True)
class PostProcessing:
    """One rule per label, applied in this order.

    Attributes:
        rules: the rules.
    """

    rules: tuple[LabelRule, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return {"format": _FORMAT, "rules": [dataclasses.asdict(rule) for rule in self.rules]}

    @classmethod
    def from_json(
        cls, document: Mapping[str, Any], where: str = "post-processing"
    ) -> PostProcessing:
        """Read what `to_json` wrote.

        Raises:
            DataError: if the document is not one of this version.
        """
        try:
            if document["format"] == _FORMAT:
                return cls(tuple(LabelRule(**rule) for rule in document["rules"]))
            found = f"format {document['format']!r}"
        except (KeyError, TypeError, ValueError) as error:
            found = str(error)
        remedy = "run `voxloop validate` again"
        raise DataError(Problem(where, f"a {_FORMAT} document", found, remedy))


def apply(label_map: LabelArray, rules: PostProcessing, spacing_mm: SpacingMm) -> LabelArray:
    """Apply the rules to a label map (I, J, K), which is left as it is.

    Args:
        label_map: of any grid.
        rules: per label.
        spacing_mm: of the grid.

    Returns:
        A new label map; the same array if nothing is to be done.
    """
    for rule in rules.rules:
        label_map = apply_rule(label_map, rule, spacing_mm)
    return label_map


def apply_rule(label_map: LabelArray, rule: LabelRule, spacing_mm: SpacingMm) -> LabelArray:
    """Apply one rule; a label map that it would not change is returned itself.

    Pieces are connected by faces, edges or corners; the largest is the first of equals. A crumb
    becomes what most of the voxels around it are, so that a crumb of kidney within the liver
    becomes liver. Holes are background enclosed by the label's faces.
    """
    box = None if rule.does_nothing else bounding_box(np.asarray(label_map == rule.value))
    if box is None:
        return label_map
    changed = label_map.copy()
    if rule.largest_only or rule.least_ml:
        least_vox = rule.least_ml * 1000 / math.prod(spacing_mm)
        for crumb in _crumbs(label_map, box, rule, least_vox):
            changed[crumb.box.slices][crumb.mask] = _surroundings(label_map, crumb)
    if rule.fill_holes:
        _fill(changed[box.slices], rule.value)
    return label_map if np.array_equal(changed, label_map) else changed


@dataclass(frozen=True, eq=False)
class _Piece:
    """Connected voxels: where they are, and which of the box."""

    box: Box
    mask: Mask


def _crumbs(label_map: LabelArray, box: Box, rule: LabelRule, least_vox: float) -> Iterator[_Piece]:
    from scipy import ndimage

    everywhere = np.ones((3, 3, 3))
    pieces, _ = ndimage.label(label_map[box.slices] == rule.value, structure=everywhere)
    sizes = np.bincount(pieces.ravel())[1:]
    unwanted = sizes < least_vox
    if rule.largest_only:
        unwanted |= np.arange(len(sizes)) != sizes.argmax()
    for number, place in enumerate(ndimage.find_objects(pieces), start=1):
        if unwanted[number - 1]:
            start = [s.start + offset for s, offset in zip(place, box.start, strict=True)]
            stop = [s.stop + offset for s, offset in zip(place, box.start, strict=True)]
            where = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
            yield _Piece(where, np.asarray(pieces[place] == number))


def _surroundings(label_map: LabelArray, piece: _Piece) -> int:
    """What most voxels are that share a face with a piece; background if there are none."""
    from scipy import ndimage

    shape = (label_map.shape[0], label_map.shape[1], label_map.shape[2])
    around = piece.box.padded(1, shape)
    within = tuple(
        slice(a - b, a - b + n)
        for a, b, n in zip(piece.box.start, around.start, piece.box.shape, strict=True)
    )
    mask = np.zeros(around.shape, dtype=bool)
    mask[within] = piece.mask
    rim = ndimage.binary_dilation(mask) & ~mask
    counts = np.bincount(label_map[around.slices][rim], minlength=256)
    counts[IGNORE] = 0
    return int(counts.argmax()) if counts.any() else BACKGROUND


def _fill(label_map: LabelArray, value: int) -> None:
    from scipy import ndimage

    closed = ndimage.binary_fill_holes(label_map == value)
    label_map[closed & (label_map == BACKGROUND)] = value

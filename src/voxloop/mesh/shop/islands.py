"""Small loose pieces taken away: off a surface, or out of a label map."""

from __future__ import annotations

import numpy as np

from voxloop.mesh.mesh import Mesh
from voxloop.mesh.shop.alteration import Alteration, Altered
from voxloop.mesh.shop.pieces import joined, pieces
from voxloop.mesh.shop.solid import place, refusal
from voxloop.volume.labels import BACKGROUND, IGNORE
from voxloop.volume.volume import LabelMap

__all__ = ["clear_islands", "remove_islands"]


def remove_islands(mesh: Mesh, *, below_mm3: float) -> Altered:
    """Take away what a printer would drop: pieces that enclose less than a volume.

    Cavities below that volume are filled. What remains keeps its very vertices.

    Args:
        mesh: a closed surface.
        below_mm3: smallest volume to keep, cubic millimetres.

    Raises:
        DataError: if no piece would remain.
    """
    parts = pieces(mesh)
    kept = tuple(part for part in parts if abs(part.volume_mm3) >= below_mm3)
    if not any(part.volume_mm3 > 0 for part in kept):
        raise refusal(
            f"a piece of at least {below_mm3:.3g} mm3",
            f"{len(parts)} of at most {abs(parts[0].volume_mm3):.3g} mm3",
            "allow smaller pieces",
        )
    if len(kept) == len(parts):
        return Altered((mesh,), ())
    gone = [part for part in parts if abs(part.volume_mm3) < below_mm3]
    alterations = tuple(
        Alteration(
            "island removed" if part.volume_mm3 > 0 else "cavity filled",
            place(part.vertices_mm.mean(axis=0)),
            abs(part.volume_mm3),
            "mm3",
        )
        for part in gone
    )
    return Altered((joined(kept),), alterations)


def clear_islands(
    label_map: LabelMap, *, below_mm3: float
) -> tuple[LabelMap, dict[int, tuple[Alteration, ...]]]:
    """Take small loose pieces out of a label map, so that the surface never has them.

    A piece is what hangs together by the faces of voxels. The largest piece of a label stays,
    however small it is: whether that label is there at all is no matter of islands.

    Args:
        label_map: any grid.
        below_mm3: smallest volume to keep, cubic millimetres.

    Returns:
        The label map, those voxels now background; and for each label what went.
    """
    from scipy.ndimage import center_of_mass, find_objects, label

    array = label_map.array.copy()
    voxel_mm3 = label_map.geometry.voxel_volume_mm3
    gone: dict[int, tuple[Alteration, ...]] = {}
    boxes = find_objects(np.where(array == IGNORE, BACKGROUND, array))
    for value, box in enumerate(boxes, start=1):
        if box is None:
            continue
        numbers, _ = label(array[box] == value)
        volumes = np.bincount(numbers.ravel()) * voxel_mm3
        volumes[0] = np.inf
        small = volumes < below_mm3
        small[1 + int(np.argmax(volumes[1:]))] = False
        if not small.any():
            continue
        array[box][small[numbers]] = BACKGROUND
        corner = [part.start for part in box]
        which = np.flatnonzero(small)
        centres = np.array(center_of_mass(small[numbers], numbers, which)) + corner
        gone[value] = tuple(
            Alteration("island removed", place(where), float(volume), "mm3")
            for where, volume in zip(
                label_map.geometry.to_world(centres), volumes[which], strict=True
            )
        )
    return LabelMap(array, label_map.geometry, label_map.labels), gone

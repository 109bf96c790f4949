"""Take smoothing back where it made surfaces cross."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxloop.mesh.certificate.crossings import self_intersections
from voxloop.mesh.fairing.neighbourhoods import Neighbourhoods
from voxloop.mesh.mesh import FaceArray

__all__ = ["untangled"]

FloatArray = npt.NDArray[np.float64]

_HALVINGS = 5
"""Then vertices go back all the way, and from round to round more of them: extracted surfaces do
not cross."""

_ROUNDS = 12


def untangled(
    start_mm: FloatArray,
    smooth_mm: FloatArray,
    faces: FaceArray,
    pair_codes: npt.NDArray[np.int64],
) -> tuple[FloatArray, int, int]:
    """Bring vertices of crossing faces back towards where extraction put them.

    Args:
        start_mm: (V, 3) positions without crossings.
        smooth_mm: (V, 3) positions wanted.
        faces: (F, 3).
        pair_codes: (F,) which two labels each separates.

    Returns:
        Positions (V, 3), how many vertices were brought back, how many pairs still cross.
    """
    positions = smooth_mm
    share = np.ones(len(positions))
    near = Neighbourhoods.of(smooth_mm, faces)
    looked_at = near.risky(smooth_mm, faces, pair_codes)
    for number in range(_ROUNDS):
        pairs = self_intersections(positions, faces[looked_at])
        if not len(pairs) or number == _ROUNDS - 1:
            break
        back = np.zeros(len(positions), dtype=bool)
        back[faces[looked_at[pairs]]] = True
        if number >= _HALVINGS:
            back[faces[back[faces].any(axis=1)]] = True
        share[back] = share[back] / 2 if number < _HALVINGS else 0
        positions = start_mm + share[:, None] * (smooth_mm - start_mm)
        # what came back may be longer than what the neighbourhoods were made for
        near = Neighbourhoods.of(positions, faces) if number == 0 else near
        looked_at = near.around(np.asarray(back[faces].any(axis=1)))
    return positions, int((share < 1).sum()), len(pairs)

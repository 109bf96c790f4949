"""Where regions lie within their scan, for strategies that spread over space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxloop.active.pool import CasePool

__all__ = ["main_axis", "places"]


def places(case: CasePool) -> npt.NDArray[np.float64]:
    """The middle of each region as shares of the scan's extent, (n, 3), between 0 and 1."""
    middles = case.centres_mm / np.asarray(case.spacing_mm)
    return np.asarray((middles + 0.5) / np.asarray(case.shape))


def main_axis(case: CasePool, index: int) -> int:
    """The axis that a region's tiling steps along: the case's slice axis where it does."""
    counts = case.lattices[case.tiling[index]].counts
    return case.axis if counts[case.axis] > 1 else int(np.argmax(counts))

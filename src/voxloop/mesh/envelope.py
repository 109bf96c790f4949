"""How far a surface could lie elsewhere: in millimetres at each vertex, and as two envelopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.errors import UsageError
from voxloop.mesh.extraction.level_surface import level_surface
from voxloop.mesh.extraction.probability import log_odds
from voxloop.mesh.mesh import Mesh, VertexArray
from voxloop.volume.boxes import bounding_box
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume

__all__ = ["Envelopes", "SurfaceUncertainty", "envelopes", "surface_uncertainty"]

_CHUNK = 20_000


@dataclass(frozen=True, eq=False)
class SurfaceUncertainty:
    """Where else the border could be, along the normal of each vertex.

    Attributes:
        inward_mm: (V,) from the border at one half to where the label is nearly sure.
        outward_mm: (V,) from the border to where it is nearly ruled out.
        reach_mm: how far was looked. A value as large as that means at least that: in a
            structure thinner than its doubt the label is sure nowhere.
    """

    inward_mm: VertexArray
    outward_mm: VertexArray
    reach_mm: float

    @property
    def values_mm(self) -> VertexArray:
        """(V,) mean of both: half the width of the band in which the border may lie."""
        return np.asarray((self.inward_mm + self.outward_mm) / 2)


@dataclass(frozen=True, eq=False)
class Envelopes:
    """Two closed surfaces that the border lies between, as likely as was asked.

    Attributes:
        inner: around what is nearly sure to be the label; None if nothing is.
        outer: around what may be the label; None if nothing may.
    """

    inner: Mesh | None
    outer: Mesh | None


def surface_uncertainty(
    mesh: Mesh, probability: Volume, *, reach_mm: float | None = None, sure: float = 0.95
) -> SurfaceUncertainty:
    """Follow the probability of a label along the normals of its surface.

    Between voxels the log odds are taken as linear, which a border's are that is blurred as a
    network blurs it; probabilities are not, and their tails would come out too wide.

    Args:
        mesh: the label's surface.
        probability: (I, J, K) of the label, 0 to 1.
        reach_mm: how far to look to either side; six voxels where None.
        sure: probability that counts as nearly sure; its complement as nearly ruled out.

    Raises:
        UsageError: if `sure` is not between one half and one.
    """
    if not 0.5 < sure < 1:
        raise UsageError(f"`sure` must lie between 0.5 and 1, found {sure:g}")
    spacing_mm = probability.geometry.spacing_mm
    reach = 6 * max(spacing_mm) if reach_mm is None else reach_mm
    steps = int(np.ceil(reach / (min(spacing_mm) / 4)))
    heights = np.linspace(-reach, reach, 2 * steps + 1)
    odds, level = log_odds(probability.array), float(np.log(sure / (1 - sure)))
    parts = []
    for start in range(0, len(mesh.vertices_mm), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        profiles = _profiles(
            mesh.vertices_mm[chunk], mesh.vertex_normals[chunk], heights, odds,
            probability.geometry,
        )  # fmt: skip
        border = _border(profiles, heights)
        outer = _first_crossing(profiles, heights, border, -level)
        inner = -_first_crossing(-profiles[:, ::-1], heights, -border, -level)
        parts.append(np.stack([border - inner, outer - border]))
    inward, outward = np.clip(np.concatenate(parts, axis=1), 0, reach)
    return SurfaceUncertainty(inward, outward, float(reach))


def envelopes(probability: Volume, *, sure: float = 0.95) -> Envelopes:
    """The surfaces at which a label is nearly sure, and nearly ruled out.

    Args:
        probability: (I, J, K) of the label, 0 to 1.
        sure: as in `surface_uncertainty`.
    """
    odds, level = log_odds(probability.array), np.float32(np.log(sure / (1 - sure)))
    geometry = probability.geometry
    return Envelopes(_isosurface(odds - level, geometry), _isosurface(odds + level, geometry))


def _profiles(
    vertices_mm: VertexArray,
    normals: VertexArray,
    heights: VertexArray,
    odds: npt.NDArray[np.float32],
    geometry: Geometry,
) -> npt.NDArray[np.float64]:
    """(V, H) log odds at heights above each vertex; beyond the scan, those of its border."""
    from scipy.ndimage import map_coordinates

    inverse = np.linalg.inv(geometry.matrix[:3, :3])
    start = geometry.to_voxel(vertices_mm)
    direction = normals @ inverse.T
    points = start[:, None] + heights[None, :, None] * direction[:, None]
    sampled = map_coordinates(
        odds, points.reshape(-1, 3).T, order=1, mode="nearest", output=np.float64
    )
    return np.asarray(sampled.reshape(len(vertices_mm), len(heights)))


def _border(profiles: npt.NDArray[np.float64], heights: VertexArray) -> VertexArray:
    """(V,) height of the fall through one half that is nearest to the vertex; 0 where none is."""
    before, after = profiles[:, :-1], profiles[:, 1:]
    falls = (before >= 0) & (after < 0)
    share = before / np.where(falls, before - after, 1)
    places = heights[:-1] + share * np.diff(heights)
    cost = np.where(falls, np.abs(places), np.inf)
    best = np.argmin(cost, axis=1)
    rows = np.arange(len(profiles))
    return np.where(falls[rows, best], places[rows, best], 0.0)


def _first_crossing(
    profiles: npt.NDArray[np.float64], heights: VertexArray, border: VertexArray, level: float
) -> VertexArray:
    """(V,) height above the border where a profile first lies below a level; infinite if never."""
    below = (profiles < level) & (heights[None] > border[:, None])
    first = np.argmax(below, axis=1)
    rows = np.arange(len(profiles))
    here, before = profiles[rows, first], profiles[rows, np.maximum(first - 1, 0)]
    share = np.where(before > level, (level - here) / np.maximum(before - here, 1e-12), 0.0)
    places = heights[first] - share * (heights[1] - heights[0])
    return np.where(below.any(axis=1), np.maximum(places, border), np.inf)


def _isosurface(field: npt.NDArray[np.float32], geometry: Geometry) -> Mesh | None:
    box = bounding_box(field > 0)
    if box is None:
        return None
    # a voxel more on each side, for the level lies between those inside and those outside
    grown = box.padded(1, geometry.shape)
    return level_surface(field[grown.slices], geometry.part(grown).matrix)

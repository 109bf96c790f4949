"""Take the voxel steps off the surfaces of all labels together, within a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.mesh.extraction.extract import Extraction
from voxloop.mesh.fairing.budget import Budget
from voxloop.mesh.fairing.facets import area_vectors, summed_at_vertices, unit
from voxloop.mesh.fairing.network import Network
from voxloop.mesh.fairing.untangle import untangled
from voxloop.mesh.fairing.volumes import restored, voxel_volumes_mm3
from voxloop.mesh.interfaces import Interfaces

__all__ = ["Smoothed", "smooth_interfaces"]

FloatArray = npt.NDArray[np.float64]
SingleArray = npt.NDArray[np.float32]

_ROUNDS = 3
"""Of flattening, recentring and staying within the budget."""

_FLATTEN_STEPS = 20
"""Averages over neighbours in each round; reaches across the steps of a surface that leans
by one voxel in ten."""

_STEP = np.float32(0.6)
"""How far a vertex goes towards its neighbours' mean; below 1 nothing swings."""

_RECENTRE_STEPS = 10
"""Averages of the offset between the flattened and the extracted surface: about as wide as
flattening reaches, so that voxel steps cancel and shrinking does not."""

_CURVE_STEPS = 4
"""The same along curves where three labels meet."""


@dataclass(frozen=True, eq=False)
class Smoothed:
    """Smoothed surfaces and what smoothing did to them.

    Attributes:
        interfaces: the surfaces, their triangles those of the extraction.
        budget: what was allowed.
        displacement_mm: (V,) how far each vertex lies from where extraction put it.
        budget_spent: (V,) the same as a share of the budget, at most 1.
        brought_back: vertices that were moved back because surfaces crossed there.
        crossings: pairs of faces that still cross.
    """

    interfaces: Interfaces
    budget: Budget
    displacement_mm: FloatArray
    budget_spent: FloatArray
    brought_back: int
    crossings: int


def smooth_interfaces(
    extraction: Extraction,
    budget: Budget,
    *,
    volume_factors: npt.NDArray[np.float64] | None = None,
) -> Smoothed:
    """Smooth all surfaces together: no gap opens, nothing shrinks, no vertex leaves its budget.

    In each of three rounds the surfaces are flattened by averaging (vertices amid a patch with
    all their neighbours, on curves where three labels meet along those, junctions stay). That
    shrinks what is curved, thin parts most. So each vertex is then moved along its normal until
    the surface lies, on local average, where extraction put it: the offset along the normal is
    averaged over the neighbourhood (the idea of Vollmer et al. 1999, for offsets instead of
    displacements). Around a thin tube all offsets point outwards, and it keeps its radius; voxel
    steps alternate and cancel. Last, what left the budget is brought back, across the normal
    first. In the end every closed piece gets the volume of its voxels, and surfaces that would
    cross are taken back towards extraction there.

    Args:
        extraction: of a label map.
        budget: about the extracted positions.
        volume_factors: (256,) per label, what to multiply the volume of its voxels by; 1 where
            None.
    """
    interfaces = extraction.interfaces
    start_mm, faces = interfaces.vertices_mm, interfaces.faces
    if not len(faces):
        nothing = np.zeros(len(start_mm))
        return Smoothed(interfaces, budget, nothing, nothing, 0, 0)
    network = Network.of(interfaces)
    smooth_mm = _faired(start_mm, interfaces, network, budget)
    volumes = voxel_volumes_mm3(extraction, network)
    if volume_factors is not None:
        volumes *= volume_factors[_labels_of_pieces(interfaces, network, len(volumes))]
    smooth_mm = restored(extraction, network, smooth_mm, volumes, budget)
    smooth_mm, brought_back, crossings = untangled(
        start_mm, smooth_mm, faces, interfaces.pair_codes
    )
    steps_mm = smooth_mm - start_mm
    return Smoothed(
        interfaces.moved(smooth_mm),
        budget,
        np.linalg.norm(steps_mm, axis=1),
        budget.spent(steps_mm),
        brought_back,
        crossings,
    )


def _faired(
    start_mm: FloatArray, interfaces: Interfaces, network: Network, budget: Budget
) -> FloatArray:
    faces, count = interfaces.faces, len(start_mm)
    along_all, along_own = _averages(network, count)
    # single precision halves the time and errs by a ten-thousandth of a millimetre
    middle_mm = start_mm.mean(axis=0)
    start = (start_mm - middle_mm).astype(np.float32)
    degree = network.curve_degree[:, None]
    here = start
    for _ in range(_ROUNDS):
        for _ in range(_FLATTEN_STEPS):
            here = here + _STEP * (along_all @ here - here)
        areas = area_vectors(here.astype(np.float64), faces)
        normals = unit(summed_at_vertices(areas, faces, count))
        normals[degree[:, 0] > 0] = 0
        offset = start - here
        height = (normals.astype(np.float32) * offset).sum(axis=1)
        for _ in range(_RECENTRE_STEPS):
            height = along_own @ height
        for _ in range(_CURVE_STEPS):
            offset = along_own @ offset
        here = here + np.where(degree == 0, height[:, None] * normals, offset)
        here = start + budget.within(here - start, normals)
        here = here.astype(np.float32)
    return start_mm + budget.within((here - start).astype(np.float64), normals)


def _averages(network: Network, count: int) -> tuple[Any, Any]:
    """Matrices that take each vertex to its neighbours' mean.

    The first for flattening; in the second a patch does not look at the curves around it, whose
    offsets are of another kind. Junctions keep to themselves in both.
    """
    from scipy.sparse import coo_array

    rows = np.concatenate([network.edges[:, 0], network.edges[:, 1]])
    columns = np.concatenate([network.edges[:, 1], network.edges[:, 0]])
    degree, curved = network.curve_degree, np.tile(network.curved, 2)
    amid, along = degree[rows] == 0, curved & (degree[rows] == 2)
    matrices = []
    for used in (amid | along, (amid & (degree[columns] == 0)) | along):
        neighbours = np.bincount(rows[used], minlength=count)
        alone = np.flatnonzero(neighbours == 0)
        weights = 1 / np.maximum(neighbours, 1).astype(np.float32)
        places = (np.concatenate([rows[used], alone]), np.concatenate([columns[used], alone]))
        matrix = coo_array((weights[places[0]], places), shape=(count, count))
        matrices.append(matrix.tocsr())
    return matrices[0], matrices[1]


def _labels_of_pieces(
    interfaces: Interfaces, network: Network, count: int
) -> npt.NDArray[np.uint8]:
    labels = np.zeros(count, dtype=np.uint8)
    for side in (0, 1):
        there = network.pieces[:, side] >= 0
        labels[network.pieces[there, side]] = interfaces.sides[there, side]
    return labels

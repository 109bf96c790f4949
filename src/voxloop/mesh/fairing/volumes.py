"""Give every piece of surface the volume of the voxels it stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.mesh.extraction.extract import Extraction
from voxloop.mesh.fairing.budget import Budget
from voxloop.mesh.fairing.facets import area_vectors, summed_at_vertices, unit
from voxloop.mesh.fairing.network import Network

__all__ = ["restored", "voxel_volumes_mm3"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_STEPS = 3
"""Moving along normals changes areas, and the budget holds some vertices back."""

_LEAST_GAIN = 0.2
"""Of a face's area; where vertices hardly follow, offsets are not to run away."""


def restored(
    extraction: Extraction,
    network: Network,
    vertices_mm: FloatArray,
    volumes_mm3: FloatArray,
    budget: Budget,
) -> FloatArray:
    """Move vertices along normals, evenly per pair of touching pieces, to given volumes.

    Of all offsets that give every piece its volume, those are taken that move the surfaces least
    (least squares, weighted by area); no vertex leaves its budget.

    Args:
        extraction: where the vertices came from.
        network: of its interfaces.
        vertices_mm: (V, 3) where they are now.
        volumes_mm3: (N,) wanted volume of each piece.
        budget: about the extracted positions.
    """
    faces, start_mm = extraction.interfaces.faces, extraction.interfaces.vertices_mm
    pairs, pair_of = _pairs(network.pieces)
    middle_mm = start_mm.mean(axis=0)
    for _ in range(_STEPS):
        areas = area_vectors(vertices_mm, faces)
        first = vertices_mm[faces[:, 0]] - middle_mm
        sizes = np.linalg.norm(areas, axis=1)
        cones_mm3 = _sums(pair_of, (first * areas).sum(axis=1) / 3, len(pairs))
        missing_mm3 = volumes_mm3 - _signed_sums(pairs, cones_mm3, len(volumes_mm3))
        totals = summed_at_vertices(areas, faces, len(vertices_mm))
        around = _sums(faces.ravel(), np.repeat(sizes, 3), len(vertices_mm))[:, None]
        around = np.maximum(around, np.finfo(float).tiny)
        # where faces meet at an angle, their vertex follows each of them only in part
        follows = sum((totals / around)[faces[:, corner]] for corner in range(3)) / 3
        gains = np.maximum((areas * follows).sum(axis=1), _LEAST_GAIN * sizes)
        offsets_mm = _least_offsets(pairs, _sums(pair_of, gains, len(pairs)), missing_mm3)
        moves = summed_at_vertices(areas * offsets_mm[pair_of, None], faces, len(vertices_mm))
        steps = vertices_mm - start_mm + moves / around
        normals = np.where(network.curve_degree[:, None] == 0, unit(totals), 0)
        vertices_mm = start_mm + budget.within(steps, normals)
    return vertices_mm


def voxel_volumes_mm3(extraction: Extraction, network: Network) -> FloatArray:
    """Per piece of surface (N,) the volume of the voxels within; of a cavity's, negative."""
    share = extraction.voxel_share_mm3
    pieces_at = np.full((len(share), 2), -1)
    for corner in range(3):
        pieces_at[extraction.interfaces.faces[:, corner]] = network.pieces
    # the vertices that count lie between two voxels, so they have one piece on either side
    pieces_at[share == 0] = -1
    count = int(network.pieces.max(initial=-1)) + 1
    return _signed_sums(pieces_at, share, count)


def _pairs(pieces: IntArray) -> tuple[IntArray, IntArray]:
    """Pairs of pieces that touch (P, 2), and per face which of them."""
    codes, pair_of = np.unique((pieces[:, 0] + 1) << 32 | (pieces[:, 1] + 1), return_inverse=True)
    return np.stack([(codes >> 32) - 1, (codes & 0xFFFFFFFF) - 1], axis=1), pair_of


def _signed_sums(pieces: IntArray, terms: FloatArray, count: int) -> FloatArray:
    """Sum terms by the piece behind, less those by the piece in front; -1 is none."""
    total = np.zeros(count)
    for side, sign in ((0, 1), (1, -1)):
        there = pieces[:, side] >= 0
        total += sign * _sums(pieces[there, side], terms[there], count)
    return total


def _sums(groups: npt.NDArray[np.integer[Any]], terms: FloatArray, count: int) -> FloatArray:
    return np.bincount(groups, weights=terms, minlength=count).astype(np.float64)


def _least_offsets(pairs: IntArray, sizes_mm2: FloatArray, missing_mm3: FloatArray) -> FloatArray:
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import lsqr

    rows, columns, weights = [], [], []
    roots = np.sqrt(sizes_mm2)
    for side, sign in ((0, 1), (1, -1)):
        there = np.flatnonzero(pairs[:, side] >= 0)
        rows.append(pairs[there, side])
        columns.append(there)
        weights.append(sign * roots[there])
    places = (np.concatenate(rows), np.concatenate(columns))
    matrix = coo_array((np.concatenate(weights), places), shape=(len(missing_mm3), len(pairs)))
    # of many solutions lsqr finds the shortest, here the least mean square offset
    found = lsqr(matrix.tocsr(), missing_mm3, atol=1e-10, btol=1e-10)[0]
    return np.asarray(found / np.maximum(roots, np.finfo(float).tiny))

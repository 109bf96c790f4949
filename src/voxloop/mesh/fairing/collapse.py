"""Remove vertices from the surfaces between labels by collapsing edges, many at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxloop.mesh.fairing.closest import closest_points
from voxloop.mesh.fairing.edge_table import EdgeTable
from voxloop.mesh.fairing.facets import area_vectors, unit

__all__ = ["Collapsing", "collapse"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_LEAST_TURN = 0.3
"""Cosine between a face's normal before and after: no face may turn by more than 72 degrees."""

_LEAST_SHAPE = 0.1
"""Area over the square of the longest side, 0.43 at best: no slivers, unless they were before."""

_TRIES = 3
"""Neighbours a vertex is tried with before it is left alone until something near it changes."""

_SWEEPS = 4
"""Vertices are picked in so many goes per pass, each where the ones before left room."""

_UPPER = np.triu_indices(4)


@dataclass(eq=False)
class Collapsing:
    """Surfaces while they lose vertices; one is removed by moving it onto a neighbour.

    Attributes:
        vertices: (V, 3) positions in budgets, so that 1 is as far as a surface may be off.
        points: (V, 3) where each vertex was extracted, likewise; all must stay near the surface.
        home: (V,) the face each point of a removed vertex lies at; -1 while the vertex is there.
        faces: (F, 3); those removed stay in the table.
        alive: (F,) true for those that are left.
        quadrics: (V, 10) sums of squared distances to the planes a vertex stands for (Garland
            and Heckbert 1997).
        fixed: (V,) vertices that stay.
        tries: (V,) how many neighbours each was tried with in vain.
    """

    vertices: FloatArray
    points: FloatArray
    home: IntArray
    faces: IntArray
    alive: BoolArray
    quadrics: FloatArray
    fixed: BoolArray
    tries: IntArray

    @classmethod
    def of(
        cls, vertices: FloatArray, points: FloatArray, faces: IntArray, fixed: BoolArray
    ) -> Collapsing:
        """Start with all faces."""
        count = len(vertices)
        return cls(
            vertices,
            points,
            np.full(count, -1),
            faces.copy(),
            np.ones(len(faces), dtype=bool),
            _quadrics(vertices, faces),
            fixed,
            np.zeros(count, dtype=np.int64),
        )

    def feet(self) -> FloatArray:
        """Per vertex (V, 3), removed or not, the place on the surface that stands for it."""
        feet = self.vertices.copy()
        gone = np.flatnonzero(self.home >= 0)
        feet[gone] = closest_points(self.points[gone], self.vertices[self.faces[self.home[gone]]])
        return feet


@dataclass(frozen=True, slots=True, eq=False)
class _Stars:
    """The faces around vertices that are tried.

    Attributes:
        rows: (N,) of the faces.
        before: (N, 3) their corners, turned so that the vertex to go is the first.
        after: (N, 3) the same with its neighbour in its place.
        vanish: (N,) faces that have both and vanish.
    """

    rows: IntArray
    before: IntArray
    after: IntArray
    vanish: BoolArray

    @classmethod
    def around(cls, state: Collapsing, target_of: IntArray) -> _Stars:
        leaving = (target_of[state.faces] >= 0) & state.alive[:, None]
        rows = np.flatnonzero(leaving.any(axis=1))
        place = leaving[rows].argmax(axis=1)
        before = state.faces[rows[:, None], (place[:, None] + np.arange(3)) % 3]
        after = before.copy()
        after[:, 0] = target_of[before[:, 0]]
        return cls(rows, before, after, (before[:, 1:] == after[:, :1]).any(axis=1))

    @property
    def centres(self) -> IntArray:
        return self.before[:, 0]


def collapse(state: Collapsing, wanted: int, rng: np.random.Generator) -> int:
    """Remove many vertices that are far enough apart not to meddle with each other.

    Args:
        state: is changed.
        wanted: faces to end with; no more vertices than needed are removed.
        rng: settles ties, so that on flat surfaces removals spread.

    Returns:
        How many vertices were tried; 0 if none is left to try.
    """
    count = len(state.vertices)
    alive = int(state.alive.sum())
    edges = EdgeTable.of(state.faces[state.alive], count)
    vertices, targets, ranks = _choices(state, edges, rng)
    tried = _far_apart(vertices, ranks, edges, count)[: max(1, (alive - wanted + 1) // 2)]
    vertices, targets = vertices[tried], targets[tried]
    if not len(vertices):
        return 0
    target_of = np.full(count, -1)
    target_of[vertices] = targets
    stars = _Stars.around(state, target_of)
    good = np.zeros(count, dtype=bool)
    good[vertices] = True
    good[_unlinked(vertices, target_of, stars, edges)] = False
    good[_misshapen(state.vertices, stars)] = False
    points, homes = _rehomed(state, stars, good)
    done = good[stars.centres]
    leave, stay = stars.rows[done & stars.vanish], done & ~stars.vanish
    state.alive[leave] = False
    state.faces[stars.rows[stay]] = stars.after[stay]
    state.home[points] = homes
    removed = vertices[good[vertices]]
    np.add.at(state.quadrics, target_of[removed], state.quadrics[removed])
    state.tries[vertices] += 1
    state.tries[stars.before[done]] = 0
    return len(vertices)


def _quadrics(vertices: FloatArray, faces: IntArray) -> FloatArray:
    areas = area_vectors(vertices, faces)
    normals = unit(areas)
    offsets = -(normals * vertices[faces[:, 0]]).sum(axis=1, keepdims=True)
    planes = np.concatenate([normals, offsets], axis=1)
    weights = np.linalg.norm(areas, axis=1)
    found = np.zeros((len(vertices), 10))
    for number, (i, j) in enumerate(zip(*_UPPER, strict=True)):
        terms = np.repeat(weights * planes[:, i] * planes[:, j], 3)
        found[:, number] = np.bincount(faces.ravel(), terms, len(vertices))
    return found


def _choices(
    state: Collapsing, edges: EdgeTable, rng: np.random.Generator
) -> tuple[IntArray, IntArray, IntArray]:
    """Vertices that may go, the neighbour each would move onto, and their turn."""
    degree = edges.curve_degree(len(state.vertices))[edges.tails]
    # amid a patch onto any neighbour, on a curve along it, junctions stay
    may = (degree == 0) | ((edges.degree > 2) & (degree == 2))
    may &= ~state.fixed[edges.tails] & (state.tries[edges.tails] < _TRIES)
    rows = np.flatnonzero(may)
    tails, heads = edges.tails[rows], edges.heads[rows]
    both = state.quadrics[tails] + state.quadrics[heads]
    place = np.concatenate([state.vertices[heads], np.ones((len(heads), 1))], axis=1)
    i, j = _UPPER
    costs = (both * place[:, i] * place[:, j] * np.where(i == j, 1, 2)).sum(axis=1)
    # where all is flat, short edges go first
    length = ((state.vertices[tails] - state.vertices[heads]) ** 2).sum(axis=1)
    costs = np.maximum(costs, 0) + 1e-3 * length**2
    order = np.lexsort((costs, tails))
    first = np.flatnonzero(np.diff(tails[order], prepend=-1))
    sizes = np.diff(first, append=len(order))
    nth = state.tries[tails[order[first]]]
    chosen = order[(first + nth)[nth < sizes]]
    # within a factor of two, chance decides
    turn = np.log2(costs[chosen] + 1e-30) + rng.random(len(chosen))
    ranks = np.empty(len(chosen), dtype=np.int64)
    ranks[np.argsort(turn)] = np.arange(len(chosen))
    return tails[chosen], heads[chosen], ranks


def _far_apart(vertices: IntArray, ranks: IntArray, edges: EdgeTable, count: int) -> IntArray:
    """Rows of vertices at least three edges apart, in the order of their turn."""
    last = np.iinfo(np.int64).max
    first = np.flatnonzero(np.diff(edges.tails, prepend=-1))
    there = edges.tails[first]
    turn = np.full(count, last)
    turn[vertices] = ranks
    picked = np.zeros(count, dtype=bool)
    for _ in range(_SWEEPS):
        lowest = turn.copy()
        for _ in range(2):
            around = np.minimum.reduceat(lowest[edges.heads], first)
            lowest[there] = np.minimum(lowest[there], around)
        picked |= (lowest == turn) & (turn < last)
        near = picked.copy()
        for _ in range(2):
            near[there] |= np.logical_or.reduceat(near[edges.heads], first)
        turn[near] = last
    rows = np.flatnonzero(picked[vertices])
    return rows[np.argsort(ranks[rows])]


def _unlinked(vertices: IntArray, target_of: IntArray, stars: _Stars, edges: EdgeTable) -> IntArray:
    """Vertices whose removal would glue surfaces together (link condition, Dey et al. 1999)."""
    count = len(target_of)
    faces_between = np.zeros(count, dtype=np.int64)
    between = edges.find(vertices, target_of[vertices])
    faces_between[vertices] = edges.degree[between]
    rows = np.flatnonzero(target_of[edges.tails] >= 0)
    tails, heads = edges.tails[rows], edges.heads[rows]
    beside = edges.find(target_of[tails], heads)
    common = np.bincount(tails[beside >= 0], minlength=count)
    bad = [vertices[common[vertices] != faces_between[vertices]]]
    # a triangle between three curves would be squashed
    curved = (beside >= 0) & (edges.degree[rows] > 2) & (edges.degree[beside] > 2)
    bad.append(tails[curved & (faces_between[tails] > 2)])
    # of a tetrahedron two coinciding faces would be left
    across = edges.find(stars.before[:, 1], stars.before[:, 2])
    closing = edges.opposite[across] - stars.centres == target_of[stars.centres]
    neighbours = np.bincount(tails, minlength=count)[stars.centres]
    bad.append(stars.centres[(neighbours == 3) & (closing | (edges.degree[across] > 2))])
    return np.concatenate(bad)


def _misshapen(vertices: FloatArray, stars: _Stars) -> IntArray:
    """Vertices whose removal would fold faces or draw them out."""
    rows = np.flatnonzero(~stars.vanish)
    before, after = stars.before[rows], stars.after[rows]
    old, new = area_vectors(vertices, before), area_vectors(vertices, after)
    sizes = [np.linalg.norm(areas, axis=1) for areas in (old, new)]
    turned = (old * new).sum(axis=1) < _LEAST_TURN * sizes[0] * sizes[1]
    shapes = []
    for faces, size in zip((before, after), sizes, strict=True):
        corners = vertices[faces]
        longest = ((corners - np.roll(corners, 1, axis=1)) ** 2).sum(axis=2).max(axis=1)
        shapes.append(size / np.maximum(longest, np.finfo(float).tiny))
    drawn_out = shapes[1] < np.minimum(_LEAST_SHAPE, shapes[0])
    return np.asarray(stars.centres[rows[turned | drawn_out]])


def _rehomed(state: Collapsing, stars: _Stars, good: BoolArray) -> tuple[IntArray, IntArray]:
    """Points around the vertices to go and the new face each lies nearest to.

    Vertices with a point beyond the budget are struck off `good`.
    """
    centre_of = np.full(len(state.faces), -1)
    centre_of[stars.rows] = np.where(good[stars.centres], stars.centres, -1)
    held = np.flatnonzero(state.home >= 0)
    held = held[centre_of[state.home[held]] >= 0]
    leaving = np.unique(stars.centres[good[stars.centres]])
    points = np.concatenate([held, leaving])
    owners = np.concatenate([centre_of[state.home[held]], leaving])
    # every point against every new face of its star
    new = np.flatnonzero(~stars.vanish & good[stars.centres])
    new = new[np.argsort(stars.centres[new], kind="stable")]
    size = np.bincount(stars.centres[new], minlength=len(good))
    start = np.cumsum(size) - size
    repeats = size[owners]
    first = np.cumsum(repeats) - repeats
    member = np.arange(repeats.sum()) - np.repeat(first, repeats)
    face = new[np.repeat(start[owners], repeats) + member]
    where = np.repeat(points, repeats)
    feet = closest_points(state.points[where], state.vertices[stars.after[face]])
    distances = ((state.points[where] - feet) ** 2).sum(axis=1)
    if not len(points):
        return points, points
    least = np.minimum.reduceat(distances, first)
    good[owners[least > 1]] = False
    nearest = np.flatnonzero(distances == np.repeat(least, repeats))
    owner_row = np.repeat(np.arange(len(points)), repeats)[nearest]
    _, chosen = np.unique(owner_row, return_index=True)
    kept = good[owners]
    return points[kept], stars.rows[face[nearest[chosen]]][kept]

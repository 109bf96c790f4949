"""How surfaces run through one cell: eight neighbouring voxel centres and their labels.

Marching cubes (Lorensen and Cline 1987) for any number of labels. On each face of the cell the
labels at its four corners alone say how it is divided, so that neighbouring cells agree; inside,
the lines on the faces are filled with triangles such that the region of every label is bounded by
a 2-manifold:

- two labels side by side: one line between the two edges they change on;
- A B A B (A above B): the two A are joined, one line around each B;
- A B A C: the two A are joined, one line around B, one around C;
- A A B C: three lines that meet within the face; A B C D: four.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["CORNERS", "EDGES", "FACE_EDGES", "FIRST_POINT", "Case", "case_of"]

CORNERS = tuple(itertools.product((0, 1), repeat=3))
"""Corner c of the cell, as steps along the three axes: c = 4 x + 2 y + z."""

_BITS = (4, 2, 1)

EDGES = tuple(
    (corner, corner | _BITS[axis])
    for axis in range(3)
    for corner in range(8)
    if not corner & _BITS[axis]
)
"""The twelve edges, four along each axis, from the lower corner to the upper; edge e is local
vertex e, the place where the label changes on it."""

_EDGE_OF = {edge: number for number, edge in enumerate(EDGES)}

FIRST_POINT = 18
"""Local vertices 12 to 17 lie within the faces (2 axis + side), from 18 on inside the cell."""


def _ring(axis: int, side: int) -> tuple[int, int, int, int]:
    """Corners of a face, counter-clockwise seen from outside the cell."""
    base, b, c = side * _BITS[axis], _BITS[(axis + 1) % 3], _BITS[(axis + 2) % 3]
    around = (base, base | b, base | b | c, base | c)
    return around if side else (around[0], around[3], around[2], around[1])


_FACES = tuple(_ring(axis, side) for axis in range(3) for side in (0, 1))


def _edges_around(ring: tuple[int, int, int, int]) -> tuple[int, ...]:
    pairs = zip(ring, (*ring[1:], ring[0]), strict=True)
    return tuple(_EDGE_OF[min(a, b), max(a, b)] for a, b in pairs)


FACE_EDGES = tuple(_edges_around(ring) for ring in _FACES)
"""Per face its four edges; edge i runs from the face's corner i to the next."""

_IN_ONE_FACE = {pair for edges in FACE_EDGES for pair in itertools.product(edges, repeat=2)}


@dataclass(frozen=True, slots=True)
class _Line:
    """A piece of a region's border on the skin of the cell, walked from `start` to `end`.

    Attributes:
        start: local vertex.
        end: local vertex.
        right: the label to the right seen from outside the cell, above `left`.
        left: the label to the left.
    """

    start: int
    end: int
    right: int
    left: int


_Lines = tuple[_Line, ...]
_Triangle = tuple[int, int, int, int, int]
"""Three local vertices, the label behind and the label in front."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """The triangles in a cell whose corners have given labels.

    Attributes:
        triangles: (T, 3) local vertices; the normal points to the lower label.
        behind: (T,) a corner that has the label behind each triangle.
        before: (T,) a corner that has the label in front.
        points: per vertex inside the cell, from 18 on, the local vertices it is the mean of.
        pinched: True if some label's region touches itself in a vertex inside the cell; no
            arrangement was found where it does.
    """

    triangles: npt.NDArray[np.int64]
    behind: npt.NDArray[np.int64]
    before: npt.NDArray[np.int64]
    points: tuple[tuple[int, ...], ...]
    pinched: bool


@lru_cache(maxsize=1 << 16)
def case_of(ranks: tuple[int, ...]) -> Case:
    """Find the triangles for eight labels, given as their ranks among those of the cell."""
    filler = _Filler()
    found: list[_Triangle] = []
    for lines in _connected(tuple(_skin(ranks))):
        found += filler.fill(lines)
    table = np.array(found, dtype=np.int64).reshape(-1, 5)
    corner_of = np.array([ranks.index(rank) for rank in range(max(ranks) + 1)])
    return Case(
        table[:, :3],
        corner_of[table[:, 3]],
        corner_of[table[:, 4]],
        tuple(filler.points),
        filler.pinched,
    )


def _skin(ranks: tuple[int, ...]) -> Iterator[_Line]:
    """Lines on the six faces."""
    for number, (ring, edges) in enumerate(zip(_FACES, FACE_EDGES, strict=True)):
        labels = [ranks[corner] for corner in ring]
        changes = [i for i in range(4) if labels[i] != labels[(i + 1) % 4]]
        if len(changes) == 2:
            first, last = changes
            yield _line(edges[first], edges[last], labels[last], labels[first])
        elif len(changes) == 3 or len(set(labels)) == 4:
            centre = 12 + number
            for i in changes:
                yield _line(edges[i], centre, labels[(i + 1) % 4], labels[i])
        elif changes:
            for i in _cut_off(labels):
                yield _line(edges[i - 1], edges[i], labels[i], labels[(i + 1) % 4])


def _cut_off(labels: list[int]) -> list[int]:
    """Corners of a face that a line separates from the rest, where a diagonal is equal."""
    if labels[0] == labels[2] and labels[1] == labels[3]:
        return [1, 3] if labels[0] > labels[1] else [0, 2]
    return [1, 3] if labels[0] == labels[2] else [0, 2]


def _line(start: int, end: int, right: int, left: int) -> _Line:
    return _Line(start, end, right, left) if right > left else _Line(end, start, left, right)


def _connected(lines: _Lines) -> list[_Lines]:
    """Group lines that hang together."""
    groups: list[tuple[set[int], list[_Line]]] = []
    for line in lines:
        nodes, members = {line.start, line.end}, [line]
        apart = []
        for group in groups:
            if nodes & group[0]:
                nodes |= group[0]
                members = group[1] + members
            else:
                apart.append(group)
        groups = [*apart, (nodes, members)]
    return [tuple(members) for _, members in groups]


class _Filler:
    """Fills connected lines with triangles, adding points inside the cell as it goes."""

    def __init__(self) -> None:
        self.points: list[tuple[int, ...]] = []
        self.pinched = False

    def fill(self, lines: _Lines) -> list[_Triangle]:
        """Triangles between the lines; every line borders exactly one of them."""
        degrees: dict[int, int] = defaultdict(int)
        for line in lines:
            degrees[line.start] += 1
            degrees[line.end] += 1
        if set(degrees.values()) == {2} and len({(x.right, x.left) for x in lines}) == 1:
            return self._disc(lines)
        return self._branches(lines)

    def _disc(self, lines: _Lines) -> list[_Triangle]:
        after = {line.start: line.end for line in lines}
        loop = [lines[0].start]
        while (following := after[loop[-1]]) != loop[0]:
            loop.append(following)
        right, left = lines[0].right, lines[0].left
        fans = [loop[i:] + loop[:i] for i in range(len(loop))]
        for hub, *others in fans:
            # a chord within a face of the cell could be drawn by the neighbouring cell, too
            if not any((hub, other) in _IN_ONE_FACE for other in others[1:-1]):
                pairs = itertools.pairwise(others)
                return [(hub, a, b, right, left) for a, b in pairs]
        return self._cone(lines)

    def _cone(self, lines: _Lines) -> list[_Triangle]:
        nodes = sorted({node for line in lines for node in (line.start, line.end)})
        apex = self._point(nodes)
        return [(x.start, x.end, apex, x.right, x.left) for x in lines]

    def _branches(self, lines: _Lines) -> list[_Triangle]:
        """Cone the lines to one point, after labels that would meet there twice are capped."""
        repeated = [ring for rings in _rings(lines).values() if len(rings) > 1 for ring in rings]
        for label, ring in sorted(repeated, key=lambda item: len(item[1])):
            around = _walk(ring, label)
            spokes = [
                (node, before, after)
                for (_, before), (node, after) in itertools.pairwise([around[-1], *around])
                if before != after
            ]
            if len({after for _, _, after in spokes}) < len(spokes):
                continue
            apex = self._point([node for node, _ in around])
            caps = [(x.start, x.end, apex, x.right, x.left) for x in ring]
            rest = [line for line in lines if line not in ring]
            rest += [_line(node, apex, after, before) for node, before, after in spokes]
            filled = self._branches(tuple(rest))
            if not self.pinched:
                return caps + filled
            self.pinched = False
            del self.points[apex - FIRST_POINT :]
        self.pinched = bool(repeated)
        return self._cone(lines)

    def _point(self, nodes: list[int]) -> int:
        self.points.append(tuple(nodes))
        return FIRST_POINT + len(self.points) - 1


def _rings(lines: _Lines) -> dict[int, list[tuple[int, _Lines]]]:
    """Per label the closed borders of its regions among the lines."""
    labels = {label for line in lines for label in (line.right, line.left)}
    return {
        label: [
            (label, ring)
            for ring in _connected(tuple(x for x in lines if label in (x.right, x.left)))
        ]
        for label in sorted(labels)
    }


def _walk(ring: _Lines, label: int) -> list[tuple[int, int]]:
    """Walk around a region with it to the left: each line's first vertex and label beyond."""
    after = {}
    for line in ring:
        if line.left == label:
            after[line.start] = (line.end, line.right)
        else:
            after[line.end] = (line.start, line.left)
    node = ring[0].start
    around = []
    for _ in ring:
        end, beyond = after[node]
        around.append((node, beyond))
        node = end
    return around

from __future__ import annotations

import numpy as np
import pytest

from solids import block, check_printable
from voxloop.errors import DataError, UsageError
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.shop.cut import Pins
from voxloop.mesh.shop.order import Order, carry_out
from voxloop.mesh.shop.plane import AxisPlane
from voxloop.mesh.shop.soundness import inspect

NAMES = {1: "left", 2: "right"}
SIDES = {1: block((12, 12, 24), (-6, 0, 0)), 2: block((12, 12, 24), (6, 0, 0))}


def test_all_is_done_in_order_and_told_of_each_label() -> None:
    order = Order(gap_mm=1.0, cuts=(AxisPlane("z"),), pins=Pins(2.0, 2.0, count=1))
    pieces = carry_out(order, SIDES, NAMES)
    assert [(p.value, p.number, p.of) for p in pieces] == [
        (1, 1, 2),
        (1, 2, 2),
        (2, 1, 2),
        (2, 2, 2),
    ]
    for piece in pieces:
        check_printable(piece.mesh)
        assert inspect(piece.mesh).reasons == ()
    told = [[a.what for a in piece.alterations] for piece in pieces]
    pinned = ["cut", "connector pin and hole"]
    assert told == [["gap cut between parts", *pinned], [], pinned, []]


def test_an_empty_order_gives_the_very_same_surfaces() -> None:
    assert Order().empty
    pieces = carry_out(Order(), SIDES, NAMES)
    assert [piece.mesh is SIDES[piece.value] for piece in pieces] == [True, True]


def test_a_plane_that_misses_one_label_leaves_it_whole_and_one_that_misses_all_is_refused() -> None:
    pieces = carry_out(Order(cuts=(AxisPlane("x", 4.0),)), SIDES, NAMES)
    assert [(p.value, p.of) for p in pieces] == [(1, 1), (2, 2), (2, 2)]
    with pytest.raises(DataError, match=r"cut: expected a plane .* choose a place within x -12.0"):
        carry_out(Order(cuts=(AxisPlane("x", 40.0),)), SIDES, NAMES)


def test_all_labels_that_something_cannot_be_done_to_are_named() -> None:
    with pytest.raises(DataError, match=r'label "left": expected a solid') as caught:
        carry_out(Order(wall_mm=7.0), SIDES, NAMES)
    assert len(caught.value.problems) == 2
    with pytest.raises(UsageError, match=r"the gap must be above 0 mm, found -1"):
        Order(gap_mm=-1.0)


def test_what_cannot_be_printed_is_said() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3]], dtype=np.int32)
    found = inspect(Mesh(corners, faces))
    assert found.reasons[0].startswith("not closed")
    assert found.to_json()["passed"] is False
    turned = Mesh(SIDES[1].vertices_mm, SIDES[1].faces[:, ::-1])
    assert inspect(turned).reasons == ("faces point inwards (negative volume)",)

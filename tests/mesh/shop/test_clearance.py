from __future__ import annotations

import pytest

from solids import AWAY, ball, block, check_printable, mesh_of, vertex_set
from voxloop.errors import DataError, UsageError
from voxloop.mesh.shop.clearance import separate
from voxloop.mesh.shop.solid import to_solid


def test_two_blocks_that_touch_each_give_way_by_half_the_gap() -> None:
    x, y, z = AWAY
    one, other = block((10, 10, 10), AWAY), block((10, 10, 10), (x + 10, y + 2, z))
    done = separate([one, other], gap_mm=0.4)
    for part in done.meshes:
        check_printable(part)
        assert part.volume_mm3 == pytest.approx(1000 - 0.2 * 10 * 8, rel=0.003)
    apart = to_solid(done.meshes[0]).min_gap(to_solid(done.meshes[1]), 5)
    assert 0.4 <= apart < 0.43
    far = {v for v in vertex_set(one) if v[0] < x}
    assert far <= vertex_set(done.meshes[0])
    assert [(a.what, a.how_much) for a in done.alterations] == [("gap cut between parts", 0.4)]


def test_parts_apart_by_less_than_the_gap_are_moved_to_the_whole_of_it() -> None:
    done = separate([block((4, 4, 4)), block((4, 4, 4), (4.15, 0, 0))], gap_mm=0.4)
    apart = to_solid(done.meshes[0]).min_gap(to_solid(done.meshes[1]), 5)
    assert 0.4 <= apart < 0.43


def test_a_head_in_its_socket_gets_a_gap_all_round() -> None:
    head = ball(3.0, segments=32)
    socket = mesh_of(to_solid(block((9, 9, 6), (0, 0, -3))) - to_solid(head))
    done = separate([head, socket], gap_mm=0.8)
    for part in done.meshes:
        check_printable(part)
    apart = to_solid(done.meshes[0]).min_gap(to_solid(done.meshes[1]), 5)
    assert 0.8 <= apart < 0.86


def test_parts_far_apart_stay_the_very_same() -> None:
    parts = (block((2, 2, 2)), block((2, 2, 2), (5, 0, 0)))
    done = separate(parts, gap_mm=0.5)
    assert done.alterations == ()
    assert [vertex_set(part) for part in done.meshes] == [vertex_set(part) for part in parts]


def test_a_part_of_which_nothing_would_be_left_is_refused() -> None:
    with pytest.raises(DataError, match=r"nothing would be left"):
        separate([block((0.2, 4, 4)), block((4, 4, 4), (2.1, 0, 0))], gap_mm=0.6)
    with pytest.raises(UsageError, match=r"above 0 mm"):
        separate([block((1, 1, 1))], gap_mm=0.0)

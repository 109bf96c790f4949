from __future__ import annotations

import numpy as np
import pytest

from solids import AWAY, ball, block, check_printable, mesh_of, solid_block
from voxloop.errors import DataError, LimitError, UsageError
from voxloop.mesh.certificate.distance import signed_distance_mm
from voxloop.mesh.certificate.topology import topology
from voxloop.mesh.shop.hollow import Drains, hollow
from voxloop.mesh.shop.offset import Grid, offset_surface


def test_a_ball_is_hollowed_to_its_wall_and_drains_at_its_lowest_points() -> None:
    solid = ball(10.0, AWAY)
    done = hollow(solid, wall_mm=2.0, drains=Drains(3.0))
    check_printable(done.mesh)
    assert topology(done.mesh).euler_number == 0, "two holes make a handle of the wall"
    cavity, *holes = done.alterations
    assert cavity.what == "hollowed"
    assert cavity.how_much == pytest.approx(4 / 3 * np.pi * 8**3 / 1000, rel=0.02)
    drained_mm3 = 2 * np.pi * 1.5**2 * 2
    wall_mm3 = solid.volume_mm3 - 1000 * cavity.how_much
    assert done.mesh.volume_mm3 == pytest.approx(wall_mm3 - drained_mm3, rel=0.02)
    assert [hole.what for hole in holes] == ["drain hole"] * 2
    assert holes[0].where_mm == pytest.approx(np.array(AWAY) - (0, 0, 8), abs=0.4)
    assert np.linalg.norm(np.subtract(holes[0].where_mm, holes[1].where_mm)) >= 6


def test_no_wall_is_thinner_than_asked() -> None:
    solid = block((14, 12, 10), turned=(10, 20, 30))
    inner = offset_surface(solid, -2.0, spacing_mm=0.5)
    assert inner is not None
    depth = -signed_distance_mm(inner.vertices_mm, solid)
    assert depth.min() > 1.98
    assert depth.max() < 2.2, "only its rounded corners lie deeper"
    assert inner.volume_mm3 == pytest.approx(10 * 8 * 6, rel=0.015)


def test_an_offset_outward_rounds_the_edges() -> None:
    around = offset_surface(block((6, 5, 4)), 1.0, spacing_mm=0.25)
    assert around is not None
    # Steiner's formula: faces, quarter cylinders along the edges, a ball's eighths at the corners
    expected = 120 + 148 * 1 + np.pi * 15 + 4 / 3 * np.pi
    assert around.volume_mm3 == pytest.approx(expected, rel=0.005)


def test_drains_go_where_they_are_told() -> None:
    top = (0.0, 0.0, 9.0)
    done = hollow(ball(9.0), wall_mm=1.5, drains=Drains(2.0, at_mm=(top,)))
    (hole,) = (a for a in done.alterations if a.what == "drain hole")
    assert hole.where_mm == pytest.approx((0, 0, 7.5), abs=0.3)
    assert topology(done.mesh).euler_number == 2


def test_a_cavity_that_was_there_keeps_its_own_wall() -> None:
    solid = solid_block((24, 24, 24)) - solid_block((6, 6, 6))
    done = hollow(mesh_of(solid), wall_mm=2.0)
    check_printable(done.mesh)
    inside = signed_distance_mm(np.array([[4.0, 0, 0], [8.0, 0, 0], [11.0, 0, 0]]), done.mesh)
    assert (np.sign(inside) == [-1, 1, -1]).all()


def test_what_is_too_small_to_hollow_is_refused() -> None:
    with pytest.raises(DataError, match=r"room for walls of 2 mm.*too thin for a cavity"):
        hollow(ball(1.9), wall_mm=2.0)
    with pytest.raises(DataError, match=r"smaller cavities only"):
        hollow(ball(4.0), wall_mm=2.5, drains=Drains(3.5))
    with pytest.raises(UsageError, match=r"above 0 mm"):
        hollow(ball(4.0), wall_mm=0.0)
    with pytest.raises(UsageError, match=r"positive diameter"):
        Drains(diameter_mm=0)
    with pytest.raises(LimitError, match=r"samples that are allowed"):
        Grid.around(np.array([[0.0] * 3, [1000.0] * 3]), 1.0, 0.0)

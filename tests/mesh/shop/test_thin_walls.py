from __future__ import annotations

import manifold3d
import numpy as np
import pytest

from solids import AWAY, block, check_printable, mesh_of, solid_block, vertex_set
from voxloop.errors import UsageError
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.shop.soundness import inspect
from voxloop.mesh.shop.walls import thicken_walls


def extents_mm(mesh: Mesh) -> tuple[float, float, float]:
    x, y, z = (mesh.bounds_mm[1] - mesh.bounds_mm[0]).tolist()
    return x, y, z


def test_a_thin_plate_becomes_as_thick_as_asked_and_grows_no_more_than_that() -> None:
    plate = block((10, 8, 0.5), AWAY)
    done = thicken_walls(plate, thinnest_mm=0.8)
    check_printable(done.mesh)
    x, y, z = extents_mm(done.mesh)
    assert z == pytest.approx(0.8, abs=0.02)
    assert max(x - 10, y - 8) <= 0.3 + 0.02, "the rim moves no farther than the faces"
    rim_mm3 = 2 * (10 + 8) * 0.15 * 0.8
    assert 10 * 8 * 0.8 <= done.mesh.volume_mm3 <= 1.01 * (10 * 8 * 0.8 + rim_mm3)
    (made,) = done.alterations
    assert made.what == "wall thickened"
    assert made.how_much == pytest.approx(0.3, abs=0.005)


def test_only_the_thin_part_of_a_solid_changes_and_every_far_vertex_stays() -> None:
    cube = manifold3d.Manifold.sphere(5, 32).translate((-6.0, 0.0, 0.0))
    fin = solid_block((6, 6, 0.4), (1.5, 0, 0), (0, 20, 0))
    whole = mesh_of(cube + fin)
    done = thicken_walls(whole, thinnest_mm=0.8)
    check_printable(done.mesh)
    far = {v for v in vertex_set(whole) if np.hypot(np.hypot(v[0] + 6, v[1]), v[2]) < 5.01}
    near_fin = {v for v in far if v[0] > -2.5}
    assert far - near_fin <= vertex_set(done.mesh)
    new = vertex_set(done.mesh) - vertex_set(whole)
    assert min(v[0] for v in new) > -2.5
    assert done.mesh.volume_mm3 > whole.volume_mm3 + 6 * 5 * 0.3


def test_a_wire_is_thickened_all_round_and_its_ends_hardly_move() -> None:
    wire = manifold3d.Manifold.cylinder(4.0, 0.25, 0.25, 32).rotate((30, 40, 0))
    done = thicken_walls(mesh_of(wire), thinnest_mm=0.8)
    check_printable(done.mesh)
    volume = done.mesh.volume_mm3
    assert np.pi * 0.4**2 * 4 * 0.95 <= volume <= np.pi * 0.4**2 * 4.3 * 1.05


@pytest.mark.parametrize("shape", ["wedge", "cone", "fin"])
def test_no_wall_stays_thinner_than_asked_even_where_walls_taper(shape: str) -> None:
    ends = [[x, y, z] for x in (0.0, 6.0) for y in (0.0, 3.0) for z in (-x / 4 - 0.02, x / 4)]
    solids = {
        "wedge": manifold3d.Manifold.hull_points(ends),
        "cone": manifold3d.Manifold.cylinder(6.0, 1.0, 0.1, 24),
        "fin": manifold3d.Manifold.sphere(2.0, 16) + solid_block((6, 3, 0.3), (2, 0, 0)),
    }
    thin = mesh_of(solids[shape])
    before = inspect(thin, thinnest_mm=0.8)
    assert any("0.8 mm were asked for" in reason for reason in before.reasons)
    done = thicken_walls(thin, thinnest_mm=0.8)
    check_printable(done.mesh)
    after = inspect(done.mesh, thinnest_mm=0.8)
    assert after.reasons == ()
    assert after.wall is not None
    assert after.wall.minimum_mm >= 0.72


def test_what_is_thick_enough_stays_the_very_same() -> None:
    thick = block((3, 3, 0.9))
    assert thicken_walls(thick, thinnest_mm=0.8).mesh is thick
    with pytest.raises(UsageError, match="above 0 mm"):
        thicken_walls(thick, thinnest_mm=0.0)

from __future__ import annotations

import numpy as np
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from solids import AWAY, ball, block, check_printable, mesh_of, solid_block, vertex_set
from voxloop.errors import DataError, UsageError
from voxloop.mesh.certificate.topology import topology
from voxloop.mesh.shop.alteration import Alteration, Altered
from voxloop.mesh.shop.islands import clear_islands, remove_islands
from voxloop.mesh.shop.pieces import joined, pieces
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelMap


def test_small_pieces_go_and_are_listed_with_volume_and_place() -> None:
    body, crumb = block((10, 8, 6), AWAY), ball(1.0, (0.0, 0.0, 0.0))
    done = remove_islands(joined((crumb, body)), below_mm3=10)
    assert vertex_set(done.mesh) == vertex_set(body)
    assert done.mesh.volume_mm3 == pytest.approx(480)
    (gone,) = done.alterations
    assert gone.what == "island removed"
    assert gone.how_much == pytest.approx(crumb.volume_mm3)
    assert gone.where_mm == pytest.approx((0, 0, 0), abs=0.05)
    check_printable(done.mesh)


def test_small_cavities_are_filled_and_large_ones_stay() -> None:
    solid = solid_block((20, 20, 20)) - solid_block((1, 1, 1), (6, 0, 0))
    solid = solid - solid_block((8, 8, 8), (-4, 0, 0))
    done = remove_islands(mesh_of(solid), below_mm3=2)
    assert [(a.what, round(a.how_much, 6)) for a in done.alterations] == [("cavity filled", 1.0)]
    assert done.mesh.volume_mm3 == pytest.approx(8000 - 512)
    assert topology(done.mesh).components == 2


def test_a_thousand_islands_leave_the_body() -> None:
    places = np.stack(np.meshgrid(*[np.arange(10.0)] * 3), axis=-1).reshape(-1, 3) * 3 + 30
    crumbs = tuple(block((1, 1, 1), (x, y, z)) for x, y, z in places.tolist())
    done = remove_islands(joined((block((20, 20, 20)), *crumbs)), below_mm3=1.5)
    assert len(done.alterations) == 1000
    assert topology(done.mesh).components == 1


def test_nothing_to_remove_gives_the_same_surface_and_all_to_remove_is_refused() -> None:
    body = block((2, 2, 2))
    assert remove_islands(body, below_mm3=8.0 - 1e-9).mesh is body
    with pytest.raises(DataError, match="a piece of at least 9 mm3, found 1 of at most 8 mm3"):
        remove_islands(body, below_mm3=9)


def test_pieces_come_largest_first() -> None:
    parts = pieces(joined((block((1, 1, 1)), block((3, 3, 3), (9, 0, 0)))))
    assert [round(part.volume_mm3) for part in parts] == [27, 1]


def test_an_alteration_is_a_sentence_and_a_document() -> None:
    made = Alteration("wall thickened", (1.0, -2.25, 3.0), 0.2501)
    assert str(made) == "wall thickened: 0.25 mm, at (1.0, -2.2, 3.0) mm"
    assert made.to_json()["where_mm"] == (1.0, -2.25, 3.0)
    body = block((1, 1, 1))
    with pytest.raises(UsageError, match="2 surfaces, not one"):
        _ = Altered((body, body), ()).mesh


def test_islands_go_from_a_label_map_but_never_a_whole_label() -> None:
    grid = oblique_geometry((24, 24, 16), (1.0, 1.0, 1.5))
    array = ellipsoid_mask(grid, (5.0, 5.0, 5.0)).astype(np.uint8)
    array[1, 1, 1], array[20:22, 20, 1], array[1, 20, 12], array[22, 1, 1] = 1, 1, 2, IGNORE
    labels = LabelMap(array, grid, LabelTable.from_names("a", "b", "c"))
    cleared, gone = clear_islands(labels, below_mm3=5.0)
    assert list(gone) == [1]
    assert sorted(a.how_much for a in gone[1]) == pytest.approx([1.5, 3.0])
    places = {tuple(np.round(grid.to_voxel([a.where_mm])[0], 6)) for a in gone[1]}
    assert places == {(1, 1, 1), (20.5, 20, 1)}
    assert (cleared.array[array == 2] == 2).all(), "the only piece of its label"
    assert (cleared.array != array).sum() == 3
    assert array[1, 1, 1] == 1, "the label map that was given stays as it is"

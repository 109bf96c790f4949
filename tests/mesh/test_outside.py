from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

import outside_programs as outside
from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.mesh.extraction.extract import extract_surface
from voxloop.mesh.formats.writers import WRITERS
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.part import Part
from voxloop.mesh.surfaces import mesh_labels
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

LABELS = LabelTable.from_names("bone <left> 🦴", 'screw "A"')
Finding = TypeVar("Finding")


def asked(program: Callable[[], Finding]) -> Finding:
    try:
        return program()
    except outside.NotInstalledError as absent:
        pytest.skip(str(absent))


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    """Two structures that touch."""
    geometry = oblique_geometry((26, 24, 16), (0.9, 1.1, 1.6))
    bone = ellipsoid_mask(geometry, (6.0, 7.0, 8.0))
    screw = ellipsoid_mask(geometry, (3.0, 3.0, 3.0), offset_mm=(5.0, 2.0, 0.0))
    array = np.where(screw, 2, bone).astype(np.uint8)
    return LabelMap(array, geometry, LABELS)


@pytest.fixture(scope="module")
def parts(labels: LabelMap) -> tuple[Part, ...]:
    made = {value: extract_surface(labels, value) for value in (1, 2)}
    heights = {value: mesh.vertices_mm[:, 2] - 80 for value, mesh in made.items()}
    return tuple(Part.of_label(mesh, LABELS, v, heights[v]) for v, mesh in made.items())


def test_admesh_finds_nothing_to_repair(parts: tuple[Part, ...], tmp_path: Path) -> None:
    for number, part in enumerate(parts):
        path = WRITERS["stl"](tmp_path / f"{number}.stl", [part]).paths[0]
        faults = asked(lambda path=path: outside.admesh_faults(path))  # type: ignore[misc]
        assert len(faults) == 8
        assert not any(faults.values()), faults
    opened = Part("opened", Mesh(parts[0].mesh.vertices_mm, parts[0].mesh.faces[3:]), (0, 0, 0))
    path = WRITERS["stl"](tmp_path / "opened.stl", [opened]).paths[0]
    assert outside.admesh_faults(path)["disconnected facets"] > 0


@pytest.mark.parametrize("suffix", ["stl", "3mf"])
def test_a_slicer_slices_without_repair(
    suffix: str, parts: tuple[Part, ...], tmp_path: Path
) -> None:
    chosen = parts if suffix == "3mf" else parts[:1]
    path = WRITERS[suffix](tmp_path / f"case.{suffix}", chosen).paths[0]
    objects = asked(lambda: outside.slicer_objects(path))
    assert len(objects) == len(chosen)
    for found, part in zip(objects, chosen, strict=True):
        assert found["manifold"] == "yes"
        assert float(found["volume"]) == pytest.approx(part.mesh.volume_mm3, rel=1e-3)
        assert not {"open_edges", "facets_reversed", "backwards_edges"} & set(found)
    assert asked(lambda: outside.slicer_warnings(path, tmp_path / "case.gcode")) == []
    assert (tmp_path / "case.gcode").stat().st_size > 10_000
    opened = Part("opened", Mesh(parts[0].mesh.vertices_mm, parts[0].mesh.faces[3:]), (0, 0, 0))
    broken = WRITERS[suffix](tmp_path / f"opened.{suffix}", [opened]).paths[0]
    assert outside.slicer_objects(broken)[0]["manifold"] == "no"


def test_a_gltf_validator_has_nothing_to_say(parts: tuple[Part, ...], tmp_path: Path) -> None:
    plain = [Part(part.name, part.mesh, part.colour) for part in parts]
    for number, chosen in enumerate((parts, plain)):
        path = WRITERS["glb"](tmp_path / f"{number}.glb", chosen).paths[0]
        assert asked(lambda path=path: outside.gltf_issues(path)) == []  # type: ignore[misc]


def test_surfaces_turned_back_into_voxels_are_the_label_map(labels: LabelMap) -> None:
    for value in (1, 2):
        mask = labels.mask(value)
        raw = outside.revoxelised(extract_surface(labels, value), labels.geometry)
        np.testing.assert_array_equal(raw, mask)
        smooth = mesh_labels(labels).surfaces[value]
        again = outside.revoxelised(smooth, labels.geometry)
        assert 2 * (again & mask).sum() / (again.sum() + mask.sum()) > 0.9

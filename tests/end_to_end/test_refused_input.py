"""Bad files are refused through the command line, in words, and leave the workspace as it was."""

from __future__ import annotations

import gzip
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from study import GEOMETRY, Study, everything_in, voxloop
from voxloop.io.formats import write_label_map, write_volume
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

Damage = Callable[[Path], object]

DIM, PIXDIM, SROW_X = 40, 76, 280
"""Offsets in a NIfTI-1 header."""


def save(path: Path, array: npt.NDArray[np.generic]) -> None:
    nib.Nifti1Image(array, GEOMETRY.matrix, dtype=array.dtype).to_filename(path)


def coloured(path: Path) -> None:
    save(path, np.zeros(GEOMETRY.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


def with_nan(path: Path) -> None:
    array = np.zeros(GEOMETRY.shape, dtype=np.float32)
    array[1, 2, 3] = np.nan
    save(path, array)


def with_largest_numbers(path: Path) -> None:
    array = np.zeros(GEOMETRY.shape, dtype=np.float32)
    array[:2] = np.finfo(np.float32).max
    save(path, array)


def header(offset: int, layout: str, *values: float) -> Damage:
    """Overwrite a part of the header."""

    def damage(path: Path) -> None:
        content = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into("<" + layout, content, offset, *values)
        path.write_bytes(gzip.compress(content))

    return damage


def header_alone_of_33_gib(path: Path) -> None:
    header(DIM, "4h", 3, 3000, 3000, 2000)(path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:352]))


def bomb(path: Path) -> None:
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content + bytes(64 << 20)))


ANY_FILE: dict[str, tuple[Damage, str, str]] = {
    "4D": (
        lambda path: save(path, np.zeros((*GEOMETRY.shape, 2), dtype=np.uint8)),
        "a 4D one, 12 x 14 x 9 x 2",
        "save each channel or time point as a 3D file of its own",
    ),
    "complex": (
        lambda path: save(path, np.zeros(GEOMETRY.shape, dtype=np.complex64)),
        "complex numbers",
        "save one real-valued component",
    ),
    "RGB": (coloured, r"colours \(RGB\)", "save one real-valued component"),
    "NaN": (with_nan, "NaN or infini", "replace|check"),
    "largest numbers for no data": (with_largest_numbers, "beyond that|unknown", "replace|correct"),
    "zero spacing": (header(PIXDIM + 4, "f", 0), "pixdim", "export"),
    "negative spacing": (header(PIXDIM + 8, "f", -1), "pixdim", "export"),
    "singular affine": (
        header(SROW_X, "4f", 0, 0, 0, 0),
        r"\[\[0.0, 0.0, 0.0, 0.0\],",
        "export the scan",
    ),
    "disagreeing sform and qform": (
        header(SROW_X + 12, "f", 7),
        r"corners lie 38 mm apart",
        "export|correct",
    ),
    "truncated": (
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        "the end of the file",
        "copy or export",
    ),
    "not gzip": (
        lambda path: path.write_bytes(gzip.decompress(path.read_bytes())),
        "data that are not compressed",
        r"rename it to end in \.nii",
    ),
    "a header that claims 33 GiB": (
        header_alone_of_33_gib,
        "cannot hold them|the end of the file",
        "copy or export",
    ),
    "gzip bomb": (bomb, "more data", "export the file again"),
}


@pytest.mark.parametrize(("damage", "finding", "remedy"), ANY_FILE.values(), ids=ANY_FILE)
def test_a_bad_scan_is_not_added(
    damage: Damage, finding: str, remedy: str, study: Study, capfd: pytest.CaptureFixture[str]
) -> None:
    path, before = study.scan("three"), everything_in(study.workspace)
    damage(path)
    assert voxloop("add", study.delivery, "-w", study.workspace) == 3
    refused(capfd.readouterr().err, path, finding, remedy)
    assert everything_in(study.workspace) == before


@pytest.mark.parametrize(("damage", "finding", "remedy"), ANY_FILE.values(), ids=ANY_FILE)
def test_a_bad_label_map_is_not_collected(
    damage: Damage, finding: str, remedy: str, study: Study, capfd: pytest.CaptureFixture[str]
) -> None:
    path, before = study.label_map("two"), everything_in(study.workspace)
    damage(path)
    words = ("collect", study.delivery, "--looked-at", "all", "-w", study.workspace)
    assert voxloop(*words) == 3
    refused(capfd.readouterr().err, path, finding, remedy)
    assert everything_in(study.workspace) == before


def of_another_shape(path: Path) -> None:
    geometry = Geometry.from_affine((12, 14, 8), GEOMETRY.matrix)
    write_volume(path, Volume(np.ones(geometry.shape, dtype=np.uint8), geometry))


def shifted(path: Path) -> None:
    matrix = GEOMETRY.matrix.copy()
    matrix[0, 3] += 5
    geometry = Geometry.from_affine(GEOMETRY.shape, matrix)
    write_volume(path, Volume(np.ones(geometry.shape, dtype=np.uint8), geometry))


def of_unknown_value(path: Path) -> None:
    array = np.full(GEOMETRY.shape, 9, dtype=np.uint8)
    write_label_map(path, LabelMap(array, GEOMETRY, LabelTable({9: "stone"})))


@pytest.mark.parametrize(
    ("damage", "finding", "remedy"),
    [
        pytest.param(
            of_another_shape,
            r"shape \(12, 14, 8\) instead of \(12, 14, 9\)",
            "label the scan itself",
            id="another shape",
        ),
        pytest.param(shifted, "5 mm", "label the scan itself", id="another affine"),
        pytest.param(of_unknown_value, "unknown values 9", "add", id="unknown value"),
    ],
)
def test_a_label_map_that_does_not_fit_its_scan_is_not_collected(
    damage: Damage, finding: str, remedy: str, study: Study, capfd: pytest.CaptureFixture[str]
) -> None:
    path, before = study.delivery / "two.nii.gz", everything_in(study.workspace)
    damage(path)
    words = ("collect", path, "--looked-at", "all", "-w", study.workspace)
    assert voxloop(*words) == 3
    refused(capfd.readouterr().err, path, finding, remedy)
    assert everything_in(study.workspace) == before


@pytest.mark.parametrize(
    ("names", "finding"),
    [
        pytest.param(("three.nii.gz", "three.nii"), "2 cases of one name", id="in the folder"),
        pytest.param(("one.nii.gz",), 'case "one" there already', id="in the workspace"),
    ],
)
def test_two_cases_of_one_name_are_not_added(
    names: tuple[str, ...], finding: str, study: Study, capfd: pytest.CaptureFixture[str]
) -> None:
    scan, before = study.scan("scan"), everything_in(study.workspace)
    for name in names:
        save(study.delivery / name, np.zeros(GEOMETRY.shape, dtype=np.int16))
    scan.unlink()
    assert voxloop("add", study.delivery, "-w", study.workspace) == 3
    said = capfd.readouterr().err
    for name in names:
        refused(said, study.delivery / name, finding, "rename")
    assert everything_in(study.workspace) == before


@pytest.mark.parametrize("command", ["add", "collect"])
def test_an_empty_folder_is_refused(
    command: str, study: Study, capfd: pytest.CaptureFixture[str]
) -> None:
    before = everything_in(study.workspace)
    assert voxloop(command, study.delivery, "-w", study.workspace) == 3
    said = capfd.readouterr().err
    assert re.search(rf"{study.delivery}: expected .*found none; (choose|name) the folder", said)
    assert everything_in(study.workspace) == before


@pytest.mark.parametrize("command", ["add", "collect"])
def test_every_bad_file_among_ten_is_named(
    command: str, study: Study, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [f"scan_{number}" for number in range(10)]
    for name in names:
        study.scan(name)
    if command == "collect":
        assert voxloop("add", study.delivery, "--copy", "-w", study.workspace) == 0
        for name in names:
            study.label_map(name)
    capfd.readouterr()
    before = everything_in(study.workspace)
    for name, kind in (("scan_2", "4D"), ("scan_5", "truncated"), ("scan_9", "not gzip")):
        ANY_FILE[kind][0](study.delivery / f"{name}.nii.gz")
    extra = ("--looked-at", "all") if command == "collect" else ()
    assert voxloop(command, study.delivery, *extra, "-w", study.workspace) == 3
    said = capfd.readouterr().err
    assert "3 problems found, nothing was changed" in said
    for name, kind in (("scan_2", "4D"), ("scan_5", "truncated"), ("scan_9", "not gzip")):
        _, finding, remedy = ANY_FILE[kind]
        refused(said, study.delivery / f"{name}.nii.gz", finding, remedy)
    assert everything_in(study.workspace) == before


def test_the_program_itself_ends_in_3_without_a_traceback(study: Study) -> None:
    path, before = study.scan("three"), everything_in(study.workspace)
    bomb(path)
    words = ["add", str(path), "-w", str(study.workspace)]
    done = subprocess.run(
        [sys.executable, "-m", "voxloop", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stdout == ""
    refused(done.stderr, path, "more data", "export the file again")
    assert everything_in(study.workspace) == before


def refused(said: str, path: Path, finding: str, remedy: str) -> None:
    """Assert that one line names case and file, says what was found, and what to do."""
    case = path.name.partition(".")[0]
    lines = [line for line in said.splitlines() if f'case "{case}"' in line]
    assert any(
        str(path) in line and re.search(rf"expected .+found .*({finding}).*; .*({remedy})", line)
        for line in lines
    ), said
    assert "a bug of ours" not in said
    assert "Traceback" not in said

"""Every kind of bad file is refused with words that say what to do, before much is read."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import phantoms
from voxloop.errors import DataError, LimitError, UsageError
from voxloop.io.formats import read_geometry, read_label_map, read_volume, write_volume
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import Volume

LABELS = LabelTable({1: "femur", 2: "tibia"})
GEOMETRY = phantoms.oblique_geometry((6, 7, 5))
DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, UNITS = 40, 70, 76, 108, 112, 123
QFORM_CODE, SFORM_CODE, QUATERN_B, SROW_X = 252, 254, 256, 280


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    """A sound, uncompressed NIfTI file, to be damaged."""
    values = np.random.default_rng(2).integers(-1000, 1000, GEOMETRY.shape, dtype=np.int16)
    write_volume(tmp_path / "scan.nii", Volume(values, GEOMETRY))
    return tmp_path / "scan.nii"


def poke(path: Path, offset: int, layout: str, *values: float) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into("<" + layout, content, offset, *values)
    path.write_bytes(content)
    return path


def rezip(path: Path) -> Path:
    zipped = path.with_name("scan.nii.gz")
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    return zipped


HEADER_DAMAGE = [
    ((DIM, "8h", 4, 6, 7, 5, 3, 1, 1, 1), "a 3D image, found a 4D one, 6 x 7 x 5 x 3; save each"),
    ((DIM, "8h", 5, 6, 7, 5, 1, 3, 1, 1), "found a 5D one, 6 x 7 x 5 x 1 x 3"),
    ((DIM, "8h", 2, 6, 7, 1, 1, 1, 1, 1), "found a 2D one, 6 x 7; join the slices"),
    ((DIM, "8h", 3, 6, -7, 5, 1, 1, 1, 1), "positive axis lengths"),
    ((DIM, "8h", 0, 6, 7, 5, 1, 1, 1, 1), "positive axis lengths"),
    ((DATATYPE, "h", 32), r"found complex numbers \(datatype 32\)"),
    ((DATATYPE, "h", 128), r"found colours \(RGB\)"),
    ((DATATYPE, "h", 2304), r"found colours \(RGB\)"),
    ((DATATYPE, "h", 77), r"unknown type \(datatype 77\)"),
    ((PIXDIM + 4, "f", 0.0), "positive voxel spacings, found pixdim"),
    ((PIXDIM + 8, "f", -1.1), "positive voxel spacings, found pixdim"),
    ((PIXDIM + 12, "f", np.nan), "positive voxel spacings, found pixdim"),
    ((PIXDIM + 4, "f", 1.8), "sform and qform that place the voxels alike"),
    ((UNITS, "b", 3), "spacings in millimetres, found another unit"),
    ((SROW_X, "4f", 0, 0, 0, 0), "a finite, invertible sform"),
    ((SROW_X, "f", np.inf), "a finite, invertible sform"),
    ((SROW_X + 12, "f", 7.0), r"sform \(code 1\) and qform \(code 1\) whose corners lie 38 mm"),
    ((QUATERN_B, "3f", 0.9, 0.9, 0.9), "a finite, invertible qform"),
    ((VOX_OFFSET, "f", np.nan), "voxels from byte 352 on, found vox_offset nan"),
    ((VOX_OFFSET, "f", 12.0), r"voxels from byte 352 on, found vox_offset 12\.0"),
    ((SLOPE, "2f", np.inf, 0), "finite scl_slope and scl_inter"),
    ((SLOPE, "2f", 1, np.nan), "finite scl_slope and scl_inter"),
    ((344, "4s", b"ni1\0"), "the header of a single-file NIfTI image"),
    ((0, "i", 347), "the header of a single-file NIfTI image"),
]


@pytest.mark.parametrize(("damage", "message"), HEADER_DAMAGE)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_damaged_nifti_header_is_refused(
    nifti: Path, damage: tuple[Any, ...], message: str, *, zipped: bool
) -> None:
    poke(nifti, *damage)
    path = rezip(nifti) if zipped else nifti
    with pytest.raises(DataError, match=message) as caught:
        read_geometry(path)
    assert [problem.where for problem in caught.value.problems] == [str(path)]


def test_spacing_that_contradicts_a_lone_sform_is_refused(nifti: Path) -> None:
    poke(nifti, QFORM_CODE, "h", 0)
    assert read_geometry(nifti).difference(GEOMETRY) is None
    poke(nifti, PIXDIM + 4, "f", 1.8)
    with pytest.raises(DataError, match=r"an sform with the spacing that pixdim says, \[1.8"):
        read_volume(nifti)


def test_a_lone_qform_places_the_voxels(nifti: Path) -> None:
    poke(nifti, SFORM_CODE, "h", 0)
    poke(nifti, SROW_X, "12f", *([0] * 12))
    assert read_geometry(nifti).difference(GEOMETRY) is None


def test_without_codes_pixdim_counts_unless_a_transform_lies_beside_it(nifti: Path) -> None:
    poke(nifti, QFORM_CODE, "2h", 0, 0)
    with pytest.raises(DataError, match="sform_code 0 and qform_code 0 beside a transform"):
        read_geometry(nifti)
    poke(nifti, QUATERN_B, "18f", *([0] * 18))
    np.testing.assert_allclose(read_geometry(nifti).matrix, np.diag([0.9, 1.1, 2.5, 1]), rtol=1e-6)


def test_voxels_that_are_not_finite_are_counted_and_refused(tmp_path: Path) -> None:
    array = np.zeros(GEOMETRY.shape, dtype=np.float32)
    array[1, 2, 3], array[4, 4, 4] = np.nan, -np.inf
    write_volume(tmp_path / "a.nii.gz", Volume(array, GEOMETRY))
    with pytest.raises(DataError, match="found 2 of 210 voxels that are NaN or infinite"):
        read_volume(tmp_path / "a.nii.gz")


def test_doubles_beyond_single_precision_are_refused_rather_than_made_infinite(
    tmp_path: Path,
) -> None:
    write_volume(tmp_path / "a.nii", Volume(np.full(GEOMETRY.shape, 1e300), GEOMETRY))
    with pytest.raises(DataError, match="210 of 210 voxels that are NaN or infinite"):
        read_volume(tmp_path / "a.nii")


DETERIORATION: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda b: b[:-40], "the end of the file before the last of them"),
    (lambda b: b[:60], "cannot hold them|within the header"),
    (lambda b: b[:-8] + bytes([b[-8] ^ 1]) + b[-7:], "intact compressed data, found corruption"),
    (lambda b: b[:-90] + bytes([b[-90] ^ 255]) + b[-89:], "corruption|end of the file"),
    (gzip.decompress, "a gzip file, found data that are not compressed; rename it"),
    (lambda _: b"", "an empty file"),
]


@pytest.mark.parametrize(("worsen", "message"), DETERIORATION)
def test_a_gzip_file_that_is_cut_off_corrupted_or_none_is_refused(
    nifti: Path, worsen: Callable[[bytes], bytes], message: str
) -> None:
    path = rezip(nifti)
    path.write_bytes(worsen(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        read_volume(path)


def test_a_plain_file_that_is_cut_off_or_zipped_is_refused(nifti: Path) -> None:
    content = nifti.read_bytes()
    nifti.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"772 B of voxels, .* cannot hold them"):
        read_geometry(nifti)
    nifti.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=r"found gzip data; rename it to end in \.nii\.gz"):
        read_geometry(nifti)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_tiny_file_that_claims_gigabytes_is_refused_without_memory(
    nifti: Path, *, zipped: bool
) -> None:
    poke(nifti, DIM, "4h", 3, 3000, 3000, 2000)
    path = rezip(nifti) if zipped else nifti
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"33\.5 GiB of voxels, as the header says"):
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_an_honest_file_beyond_memory_meets_the_limit(
    nifti: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxloop.compute.memory.available_bytes", lambda: 500)
    with pytest.raises(LimitError, match=r"reading .*scan\.nii needs 840 B of memory"):
        read_volume(nifti)


def test_a_gzip_bomb_is_left_once_it_passes_what_the_header_implies(nifti: Path) -> None:
    path = nifti.with_name("bomb.nii.gz")
    path.write_bytes(gzip.compress(nifti.read_bytes() + bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="420 B of voxels, as the header says, found more data"):
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_absent_and_unknown_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.nii: expected a file, found none"):
        read_geometry(tmp_path / "a.nii")
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"expected a file ending in \.nii\.gz"):
        read_geometry(tmp_path / "a.png")


def test_unknown_label_values_are_listed(tmp_path: Path) -> None:
    array = np.zeros(GEOMETRY.shape, dtype=np.int16)
    array[0, 0, :4] = -3, 2, 9, 300
    write_volume(tmp_path / "a.nii.gz", Volume(array, GEOMETRY))
    with pytest.raises(
        DataError, match=r"only the values \[0, 1, 2\] .* found unknown values -3, 9, 300; add"
    ):
        read_label_map(tmp_path / "a.nii.gz", LABELS)


def test_a_label_map_of_whole_floats_is_read_and_one_of_fractions_refused(tmp_path: Path) -> None:
    array = np.zeros(GEOMETRY.shape, dtype=np.float64)
    array[0, 0, :3] = 1, 3, 255
    write_volume(tmp_path / "a.nii.gz", Volume(array, GEOMETRY))
    again = read_label_map(tmp_path / "a.nii.gz", LABELS, ignore_value=3)
    assert again.array[0, 0, :4].tolist() == [1, 255, 255, 0]
    for bad in (0.5, np.nan, np.inf):
        array[3, 3, 3] = bad
        write_volume(tmp_path / "a.nii.gz", Volume(array, GEOMETRY))
        with pytest.raises(DataError, match="a label map of whole numbers, found fractions"):
            read_label_map(tmp_path / "a.nii.gz", LABELS)


def test_an_ignore_value_that_is_a_label_is_refused(nifti: Path) -> None:
    with pytest.raises(UsageError, match="the ignore value 2 is a label"):
        read_label_map(nifti, LABELS, ignore_value=2)


NRRD = """NRRD0005
# a comment: with a colon
type: short
dimension: 3
space: left-posterior-superior
sizes: 2 3 4
space directions: (0.5,0,0) (0,0.7,0) (0,0,2)
kinds: domain domain domain
endian: little
encoding: raw
space origin: (1,2,3)
key:=value: of the user

"""

META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 1 2 3
ElementSpacing = 0.5 0.7 2
DimSize = 2 3 4
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""


def write_text(folder: Path, name: str, header: str, payload: bytes = bytes(48)) -> Path:
    (folder / name).write_bytes(header.encode() + payload)
    return folder / name


def test_the_text_headers_used_below_are_sound(tmp_path: Path) -> None:
    for name, header in (("a.nrrd", NRRD), ("a.mha", META)):
        volume = read_volume(write_text(tmp_path, name, header))
        assert volume.geometry.spacing_mm == pytest.approx((0.5, 0.7, 2))
        np.testing.assert_allclose(volume.geometry.matrix[:3, 3], [-1, -2, 3])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("NRRD0005", "NIRD0005", "a NRRD header, found 'NIRD0005'"),
        ("sizes: 2 3 4", "sizes: 2 3 40000000", "that cannot hold them"),
        ("sizes: 2 3 4", "sizes: 2 3 -4", "positive whole numbers as 'sizes'"),
        ("sizes: 2 3 4\n", "", "the field 'sizes', found none"),
        ("(0.5,0,0)", "(0,0,0)", "positive voxel spacings"),
        ("(0.5,0,0)", "(nan,0,0)", "a header that ITK understands"),
        ("(0,0.7,0)", "(1,0,0)", "three independent voxel axes"),
        ("space: left-posterior-superior", "space: scanner-xyz", "the patient's sides"),
        ("space: left-posterior-superior\n", "", "the patient's sides"),
        ("space origin: (1,2,3)\n", "", "the field 'space origin', found none"),
        ("endian: little\n", "", "the byte order"),
        ("encoding: raw", "encoding: hex", "the encoding 'raw' or 'gzip', found 'hex'"),
        ("type: short", "type: block", "integers or floats of up to 64 bits, found type 'block'"),
        ("kinds: domain", "kinds: RGB-color", "one real number per voxel"),
        ("kinds: domain", "kinds: list", "three spatial axes, found an axis of kind 'list'"),
        ("space origin", 'space units: "m" "m" "m"\nspace origin', "space units of mm"),
        ("encoding", "line skip: 3\nencoding", "voxels at a plain byte offset"),
        ("encoding: raw", "encoding: gzip", "intact compressed data, found corruption"),
        ("encoding", "data file: /etc/passwd\nencoding", "'/etc/passwd', outside of it"),
        ("encoding", "data file: ../b.raw\nencoding", r"'\.\./b\.raw', outside of it"),
        ("encoding", "data file: b.raw\nencoding", r"the file 'b\.raw', which it names"),
    ],
)
def test_a_bad_nrrd_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_text(tmp_path, "a.nrrd", NRRD.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_volume(path)


def test_overlapping_segments_are_refused_with_a_remedy_and_one_layer_is_read(
    tmp_path: Path,
) -> None:
    layered = (
        NRRD.replace("dimension: 3", "dimension: 4")
        .replace("sizes: 2", "sizes: 5 2")
        .replace("kinds:", "kinds: list")
        .replace("directions:", "directions: none")
    )
    path = write_text(tmp_path, "a.seg.nrrd", layered, bytes(48 * 5))
    with pytest.raises(DataError, match=r"a 4D one, 5 x 2 x 3 x 4; .*without overlap"):
        read_label_map(path, LABELS)
    path = write_text(tmp_path, "a.seg.nrrd", layered.replace("sizes: 5", "sizes: 1"))
    assert read_label_map(path, LABELS).array.shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ObjectType =", "Object", "a MetaImage header, found 'Object Image'"),
        ("DimSize = 2 3 4", "DimSize = 2 3 40000000", "that cannot hold them"),
        ("DimSize = 2 3 4", "DimSize = 2 3 4 2\nNDims = 4", "a 4D one, 2 x 3 x 4 x 2"),
        ("ElementSpacing = 0.5", "ElementSpacing = 0", "positive voxel spacings"),
        ("ElementSpacing = 0.5", "ElementSpacing = -0.5", "positive voxel spacings"),
        ("ElementSpacing = 0.5", "ElementSpacing = nan", "positive voxel spacings"),
        ("ElementSpacing = 0.5 0.7 2\n", "", "the field 'ElementSpacing', found none"),
        ("1 0 0 0 1 0 0 0 1", "1 0 0 1 0 0 0 0 1", "three independent voxel axes"),
        ("MET_SHORT", "MET_SHORT\nElementNumberOfChannels = 3", "one real number per voxel"),
        ("BinaryData = True", "BinaryData = False", "binary voxels"),
        ("CompressedData = False", "CompressedData = True", "intact compressed data"),
        ("LOCAL", "/etc/passwd", "'/etc/passwd', outside of it"),
        ("LOCAL", "../b.raw", r"'\.\./b\.raw', outside of it"),
        ("LOCAL", "b\0.raw", "names of files, found"),
        ("LOCAL", "b" * 5000, "names of files, found"),
        ("LOCAL", "LIST", "one file of voxels, found a series"),
        ("LOCAL", "slice%03d.raw 1 4 1", "one file of voxels, found a series"),
    ],
)
def test_a_bad_metaimage_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_text(tmp_path, "a.mha", META.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_volume(path)


def test_a_reference_through_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(48))
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "b.raw").symlink_to(tmp_path / "secret")
    path = write_text(tmp_path / "scans", "a.mhd", META.replace("LOCAL", "b.raw"), b"")
    with pytest.raises(DataError, match=r"'b\.raw', outside of it"):
        read_volume(path)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.mha", META.replace("CompressedData = False", "CompressedData = True")),
        ("a.nrrd", NRRD.replace("raw", "gzip")),
    ],
)
def test_compressed_text_formats_are_checked_to_the_last_byte(
    tmp_path: Path, name: str, header: str
) -> None:
    """ITK returns a corrupted MetaImage, or one that fails its checksum, as if it were sound."""
    values = np.arange(24, dtype="<i2").tobytes()
    packed = zlib.compress(values) if name.endswith("mha") else gzip.compress(values)
    read = read_volume(write_text(tmp_path, name, header, packed)).array
    np.testing.assert_array_equal(read.ravel("F"), np.arange(24))
    damaged = packed[:-5] + bytes([packed[-5] ^ 1]) + packed[-4:]
    for payload in (damaged, packed[:-4], packed[:-20]):
        with pytest.raises(DataError, match=r"corruption|end of the file|cannot hold"):
            read_volume(write_text(tmp_path, name, header, payload))
    bomb = zlib.compress(bytes(1 << 20))
    with pytest.raises(DataError, match="more data behind them"):
        read_volume(write_text(tmp_path, name, header, bomb))


def test_four_dimensional_decathlon_files_are_refused_by_the_header_alone(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6, 2), np.float32), np.eye(4))
    image.to_filename(tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="save each channel or time point as a 3D file"):
        read_geometry(tmp_path / "a.nii.gz")

"""Names of segments in the header of a `.seg.nrrd` file, as 3D Slicer writes and reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from voxloop.compute.atomic import atomic_path
from voxloop.errors import StorageError
from voxloop.io.text_header import header_lines
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

__all__ = ["SEGMENTATION_SUFFIX", "read_segment_names", "write_segmentation"]

SEGMENTATION_SUFFIX = ".seg.nrrd"
"""By which 3D Slicer knows a segmentation."""

_FIELD = re.compile(r"Segment(\d+)_(Name|LabelValue):=(.*)")


def read_segment_names(path: Path) -> dict[int, str]:
    """Value to name of the segments that a file's header lists; empty if it lists none.

    Raises:
        DataError: if the header has no end.
    """
    if not path.name.lower().endswith(SEGMENTATION_SUFFIX):
        return {}
    names: dict[str, str] = {}
    values: dict[str, int] = {}
    for line, _ in header_lines(path):
        if not line:
            break
        found = _FIELD.fullmatch(line)
        if found and found[2] == "Name":
            names[found[1]] = _utf8(found[3])
        elif found and found[3].strip().isdecimal():
            values[found[1]] = int(found[3])
    return {value: names[key] for key, value in values.items() if key in names}


def write_segmentation(path: Path, label_map: LabelMap) -> None:
    """Write a label map whose labels 3D Slicer shows by name and colour.

    Raises:
        StorageError: if the disk refuses.
    """
    import SimpleITK as sitk  # a third of a second to import

    from voxloop.io import itk

    with atomic_path(path) as temporary:
        itk.write(temporary, label_map.array, label_map.geometry)
        image = sitk.ReadImage(str(temporary), imageIO="NrrdImageIO")
        for key, text in _fields(label_map.labels).items():
            image.SetMetaData(key, text)
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:  # how ITK reports whatever the disk refuses
            raise StorageError(f"cannot write {path}: {error}") from error


def _fields(labels: LabelTable) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for number, (value, name) in enumerate(labels.names.items()):
        colour = labels.colour(value)
        parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        fields |= {
            f"Segment{number}_ID": f"Segment_{number + 1}",
            f"Segment{number}_Name": name,
            f"Segment{number}_Color": " ".join(f"{part:.4f}" for part in parts),
            f"Segment{number}_LabelValue": str(value),
            f"Segment{number}_Layer": "0",
        }
    return fields


def _utf8(text: str) -> str:
    """What was read as Latin-1 as the UTF-8 that it is, where it is."""
    try:
        return text.encode("latin-1").decode("utf-8").strip()
    except UnicodeDecodeError:
        return text.strip()

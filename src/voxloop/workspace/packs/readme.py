"""What a query pack says to the person who opens it."""

from __future__ import annotations

from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.workspace.packs.document import Pack, PackedQuery

__all__ = ["CONFIRMATION", "MINUTES", "itksnap_labels", "pack_readme", "query_readme"]

CONFIRMATION = "confirmed.txt"
"""An empty file of this name says that a proposal is right as it is."""

MINUTES = "minutes.txt"
"""Holds how many minutes it took, if somebody wrote it down."""

_PLANES = ("sagittal", "coronal", "axial")
_SIDES = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))


def query_readme(query: PackedQuery, labels: LabelTable) -> str:
    """The readme of one query."""
    table = "\n".join(f"  {value:3d}  {name}" for value, name in labels.names.items())
    images = ", ".join(query.images)
    return f"""Query {query.number}: case {query.case_id}

LABEL THIS
{_indented(_place(query.region, query.geometry))}
  {query.mask} is 1 there and 0 elsewhere. Only this part is taken; whatever is changed
  elsewhere is reported and not stored.
  Why it is asked for: {query.reason.rstrip(".")}.

WITH THESE VALUES
    0  none of these, and you have looked
{table}
  255  you have not looked here (optional)

HOW
  Open {images} and, as segmentation, {query.labels}, which holds
  {_source(query.source)}. Correct it and save it
  under its own name. Another name, .nii, .nii.gz, .nrrd, .seg.nrrd and .mha are fine as well, one
  label map in this folder. Keep the grid of the image: neither crop nor resample.

  ITK-SNAP   File > Open Main Image: {query.images[0]}. Segmentation > Open Segmentation:
             {query.labels}. Segmentation > Import Label Descriptions: labels_itksnap.txt.
             Tools > Layer Inspector to add {query.mask} as an overlay. Ctrl-S saves.
  MITK       Open {query.images[0]}; drag {query.labels} in and choose "Segmentation". Save it
             as {query.labels}, not as a DICOM SEG.
  3D Slicer  Drag {query.images[0]} in as volume and {query.labels} as segmentation. Edit in the
             Segment Editor. Save as .seg.nrrd, or Segmentations > Export to files.

NOTHING TO CHANGE?
  A file that is as it was counts as not touched. If the proposal is right, or there is nothing
  to label, put an empty file named {CONFIRMATION} into this folder.

HOW LONG DID IT TAKE?
  Write the minutes into a file named {MINUTES}, if you like; it makes plans better.
"""


def pack_readme(pack: Pack) -> str:
    """The readme of the whole folder."""
    rows = "\n".join(
        f"  {q.folder}: {_place(q.region, q.geometry).splitlines()[0]}" for q in pack.queries
    )
    return f"""{len(pack.queries)} regions to label, round {pack.round} of "{pack.workspace}"

Each folder is one region, the most wanted first; its readme.txt says where and how. Do as many
as you like, in any order.

{rows}

When you are done, or for a part of it, give the whole folder back:

  voxloop collect FOLDER --workspace WORKSPACE
"""


def itksnap_labels(labels: LabelTable) -> str:
    """Names and colours of the labels as ITK-SNAP imports them."""
    lines = ['    0     0    0    0        0  0  0    "Clear Label"']
    for value, name in labels.names.items():
        colour = labels.colour(value)
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        safe = name.replace('"', "'")
        lines.append(f'{value:5d} {red:5d} {green:4d} {blue:4d}        1  1  1    "{safe}"')
    lines.append('  255   255  255  255      0.3  1  0    "not looked at"')
    return "\n".join(lines) + "\n"


def _place(region: Box, geometry: Geometry) -> str:
    """Where a region is, as editors show it."""
    whole = [n == size for n, size in zip(region.shape, geometry.shape, strict=True)]
    if all(whole):
        return "The whole scan."
    middle = [(a + b - 1) / 2 for a, b in zip(region.start, region.stop, strict=True)]
    centre_mm = geometry.to_world([middle])[0]
    near = ", ".join(
        f"{abs(value):.1f} mm {_SIDES[world][int(value > 0)]}"
        for world, value in enumerate(centre_mm.tolist())
    )
    spans = [
        f"{'xyz'[axis]} {a + 1} to {b}" if b - a > 1 else f"{'xyz'[axis]} {a + 1}"
        for axis, (a, b) in enumerate(zip(region.start, region.stop, strict=True))
        if not whole[axis]
    ]
    axis = region.slice_axis
    first = f"The box of voxels {', '.join(spans)}, counted from 1."
    if axis is not None:
        plane, index = _PLANES[geometry.world_axes[axis]], region.start[axis]
        first = (
            f"The {plane} slice {index + 1} of {geometry.shape[axis]} (voxel index {'xyz'[axis]}, "
            f"counted from 1; from 0 it is {index})."
        )
        if sum(whole) < 2:
            first = f"A part of t{first[1:]}"
            first += f" The part: {', '.join(s for s in spans if s[0] != 'xyz'[axis])}."
    return f"{first}\nIts middle lies {near} of the scanner's origin."


def _source(source: str) -> str:
    return "nothing yet" if source == "empty" else f"a proposal from {source}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())

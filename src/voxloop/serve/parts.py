"""The part of a volume that somebody asks for, as a NIfTI file on the case's own grid."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from fastapi import Depends, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from voxloop.errors import LimitError
from voxloop.io.nifti import encode
from voxloop.serve.context import CaseDep, ContextDep
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry

__all__ = ["Part", "PartDep", "answer_part"]

Form = Literal["nii", "nii.gz"]
_LEVEL = 1
"""Of gzip: on a fast line, the time to pack is what counts."""


@dataclass(frozen=True)
class Part:
    """What is asked for.

    Attributes:
        box: inside the case's grid.
        geometry: of the box.
        form: of the file.
    """

    box: Box
    geometry: Geometry
    form: Form


def _part(
    context: ContextDep,
    record: CaseDep,
    *,
    axis: Annotated[
        int | None, Query(ge=0, le=2, description="Of a slab; the case's slice axis if not given.")
    ] = None,
    start: Annotated[int | None, Query(ge=0, description="First slice of a slab.")] = None,
    stop: Annotated[int | None, Query(ge=1, description="One past its last slice.")] = None,
    box: Annotated[
        str | None,
        Query(
            pattern=r"^\d{1,5}(,\d{1,5}){5}$", description="i0,j0,k0,i1,j1,k1 instead of a slab."
        ),
    ] = None,
    form: Annotated[Form, Query(alias="format", description="Packed or not.")] = "nii.gz",
) -> Part:
    geometry = record.geometry
    region = _box(geometry.shape, axis, start, stop, box, record.slice_axis)
    most = context.settings.max_image_voxels
    if region.voxel_count > most:
        raise LimitError(
            f"{region.voxel_count} voxels are more than the {most} that are sent at once; ask for "
            "a slab (axis, start, stop) or a box"
        )
    return Part(region, geometry.part(region), form)


PartDep = Annotated[Part, Depends(_part)]


def _box(
    shape: tuple[int, int, int],
    axis: int | None,
    start: int | None,
    stop: int | None,
    text: str | None,
    slice_axis: int,
) -> Box:
    if text is not None:
        numbers = [int(n) for n in text.split(",")]
        begin, end = numbers[:3], numbers[3:]
    else:
        begin, end = [0, 0, 0], list(shape)
        along = slice_axis if axis is None else axis
        begin[along] = 0 if start is None else start
        end[along] = shape[along] if stop is None else min(stop, shape[along])
    if not all(0 <= a < b <= n for a, b, n in zip(begin, end, shape, strict=True)):
        raise HTTPException(422, f"{begin} to {end} is no part of a scan of {list(shape)} voxels")
    return Box((begin[0], begin[1], begin[2]), (end[0], end[1], end[2]))


def answer_part(
    request: Request,
    part: Part,
    content: str,
    voxels: Callable[[], npt.NDArray[Any]],
    *,
    tag: str = "",
    headers: dict[str, str] | None = None,
) -> Response:
    """The file, or 304 if whoever asks has it already.

    Args:
        request: asked with.
        part: of what.
        content: names the whole volume's content, different for any other content.
        voxels: gives the whole volume.
        tag: the ETag; made of content and part where empty.
        headers: further ones.
    """
    name = f"{content} {part.box} {part.form}"
    etag = f'"{tag or hashlib.sha256(name.encode()).hexdigest()[:32]}"'
    further = {"ETag": etag, "Cache-Control": "private, no-cache", **(headers or {})}
    asked = request.headers.get("if-none-match", "")
    if etag in [each.strip().removeprefix("W/") for each in asked.split(",")]:
        return Response(status_code=304, headers=further)
    array = np.asarray(voxels()[part.box.slices])
    body = encode(array, part.geometry)
    if part.form == "nii.gz":
        body = gzip.compress(body, _LEVEL, mtime=0)
    kind = "application/gzip" if part.form == "nii.gz" else "application/octet-stream"
    return Response(body, media_type=kind, headers=further)

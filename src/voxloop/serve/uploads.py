"""What annotators send, on its way to a file that the workspace can take in."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import numpy as np
from fastapi import Depends, Query
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from voxloop.io.formats import SUFFIXES, write_label_map
from voxloop.serve.context import Context, ContextDep
from voxloop.serve.schemas import AnnotationBody
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelMap
from voxloop.workspace.actions.take_in import arrival_folder
from voxloop.workspace.cases import CaseRecord

__all__ = ["BODY_DOCS", "Arrival", "ArrivalDep"]

_ONE_FILE = tuple(suffix for suffix in SUFFIXES if suffix not in {".nhdr", ".mhd"})


def _body_schema() -> dict[str, Any]:
    """The patches' schema; what it refers to is described with the drafts."""
    schema = AnnotationBody.model_json_schema(ref_template="#/components/schemas/{model}")
    return {key: value for key, value in schema.items() if key != "$defs"}


BODY_DOCS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _body_schema()},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            },
        },
    }
}
"""For the OpenAPI description of a route that takes an arrival."""


@dataclass(frozen=True)
class Arrival:
    """A body as it came: a label map's file, or patches.

    Attributes:
        file: of a known suffix; None for patches.
        body: the patches; None for a file.
        folder: for further files; gone after the request.
    """

    file: Path | None
    body: AnnotationBody | None
    folder: Path

    def label_map(self, context: Context, record: CaseRecord) -> Path:
        """The file of a label map on the case's grid; patches are painted into an empty one.

        Raises:
            DataError: if a patch is outside of the grid, or a value is no label.
        """
        if self.file is not None:
            return self.file
        array = np.full(record.geometry.shape, IGNORE, dtype=np.uint8)
        for patch in self.body.patches if self.body is not None else ():
            patch.patch(record.geometry.shape).paint(array)
        path = self.folder / "patches.nii.gz"
        write_label_map(path, LabelMap(array, record.geometry, context.workspace.labels))
        return path


async def _arrival(
    request: Request,
    context: ContextDep,
    filename: Annotated[
        str | None,
        Query(max_length=255, description="Of which the suffix says the format; NIfTI without."),
    ] = None,
) -> AsyncIterator[Arrival]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    with arrival_folder(context.workspace.layout) as folder:
        if kind == "application/json":
            yield Arrival(None, _patches(await request.body()), folder)
        elif kind == "multipart/form-data":
            yield Arrival(await _part(request, folder), None, folder)
        else:
            path = folder / f"labels{_suffix(filename)}"
            with path.open("wb") as handle:
                async for chunk in request.stream():
                    await anyio.to_thread.run_sync(handle.write, chunk)
            yield Arrival(path, None, folder)


ArrivalDep = Annotated[Arrival, Depends(_arrival)]


def _patches(content: bytes) -> AnnotationBody:
    try:
        return AnnotationBody.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise HTTPException(422, f"{place}: {first['msg']}") from error


async def _part(request: Request, folder: Path) -> Path:
    async with request.form(max_files=1, max_fields=10) as form:
        part = form.get("file")
        if not isinstance(part, UploadFile):
            raise HTTPException(422, "the body has no part named file")
        # nothing of the name but its suffix is used: it may be any path of the sender
        path = folder / f"labels{_suffix(part.filename)}"
        source = part.file

        def copy() -> None:
            with path.open("wb") as handle:
                shutil.copyfileobj(source, handle)

        await anyio.to_thread.run_sync(copy)
    return path


def _suffix(name: str | None) -> str:
    lowered = (name or "").lower()
    found = next((suffix for suffix in _ONE_FILE if lowered.endswith(suffix)), None)
    if name and found is None:
        raise HTTPException(415, f"label maps end in {', '.join(_ONE_FILE)}")
    return found or SUFFIXES[0]

"""What every route works with: the workspace, the settings, the scans that are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query
from starlette.exceptions import HTTPException
from starlette.requests import Request

from voxloop.dataset.case import is_valid_case_id
from voxloop.serve.problems import not_found, without_paths
from voxloop.serve.settings import ServeSettings
from voxloop.serve.voxels import VoxelFiles
from voxloop.workspace.cases import CaseRecord
from voxloop.workspace.documents import read_record
from voxloop.workspace.leases import QueryKey
from voxloop.workspace.workspace import Workspace

__all__ = ["AuthorDep", "CaseDep", "Context", "ContextDep", "QueryDep", "case_of"]

CASE_PATTERN = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?$"
QUERY_PATTERN = r"^(?:0|[1-9]\d{0,5})-[1-9]\d{0,5}$"


@dataclass(frozen=True)
class Context:
    """One server's state; all that lasts is in the workspace's files.

    Attributes:
        workspace: that is served.
        settings: of the server.
        voxels: scans and label maps, open for looking at parts of them.
    """

    workspace: Workspace
    settings: ServeSettings
    voxels: VoxelFiles

    @classmethod
    def of(cls, workspace: Workspace, settings: ServeSettings) -> Context:
        """A new server's state."""
        return cls(workspace, settings, VoxelFiles(workspace.layout.cache / "voxels"))

    def hide(self, text: str) -> str:
        """A text for a reply: folders, which may be named after patients, are left out."""
        if "/" not in text and "\\" not in text:
            return text
        layout = self.workspace.layout
        scans = (scan.path for case in self.workspace.cases() for _, scan in case.channels)
        folders = {str((layout.root / path).parent) for path in scans}
        return without_paths(text, [str(layout.root), *folders])


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(_context)]


def case_of(context: Context, case_id: str) -> CaseRecord:
    """A case by its id.

    Raises:
        HTTPException: 404 if there is none.
    """
    path = context.workspace.layout.case_file(case_id) if is_valid_case_id(case_id) else None
    if path is None or not path.exists():
        raise not_found("there is no such case")
    return read_record(path, CaseRecord.from_json)


def _case(
    context: ContextDep,
    case_id: Annotated[str, Path(pattern=CASE_PATTERN, description="The case's id.")],
) -> CaseRecord:
    return case_of(context, case_id)


CaseDep = Annotated[CaseRecord, Depends(_case)]


def _query(
    query_id: Annotated[str, Path(pattern=QUERY_PATTERN, description="As `queries` gives it.")],
) -> QueryKey:
    return QueryKey.parse(query_id)


QueryDep = Annotated[QueryKey, Depends(_query)]


def _author(
    author: Annotated[
        str, Query(min_length=1, max_length=80, description="Who does it, as he or she wrote it.")
    ],
) -> str:
    name = author.strip()
    if not name or not name.isprintable():
        raise HTTPException(422, "the author's name has 1 to 80 printable characters")
    return name


AuthorDep = Annotated[str, Depends(_author)]

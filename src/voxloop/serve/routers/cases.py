"""The cases and how they stand."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter

from voxloop.serve.context import CaseDep, Context, ContextDep
from voxloop.serve.proposed import prediction_of, uncertainty_file
from voxloop.serve.quality import quality_of
from voxloop.serve.schemas import CaseList, CaseOut
from voxloop.workspace.annotations import Revision
from voxloop.workspace.cases import CaseRecord

__all__ = ["list_cases", "read_case", "router"]

router = APIRouter(tags=["cases"])


@router.get("/cases")
def list_cases(context: ContextDep) -> CaseList:
    """All cases, by id."""
    revisions: dict[str, list[Revision]] = {}
    for document in context.workspace.store.documents("annotations"):
        revision = Revision.from_json(document)
        revisions.setdefault(revision.case_id, []).append(revision)
    asked = _open_queries(context)
    return CaseList(
        cases=[
            _case(context, record, revisions.get(record.id, []), asked[record.id])
            for record in context.workspace.cases()
        ]
    )


@router.get("/cases/{case_id}")
def read_case(context: ContextDep, record: CaseDep) -> CaseOut:
    """One case."""
    revisions = list(context.workspace.annotations_of(record.id))
    return _case(context, record, revisions, _open_queries(context)[record.id])


def _open_queries(context: Context) -> Counter[str]:
    return Counter(query.query.case_id for query in context.workspace.open_queries())


def _case(
    context: Context, record: CaseRecord, revisions: list[Revision], open_queries: int
) -> CaseOut:
    geometry, newest = record.geometry, revisions[-1] if revisions else None
    coverage = None if newest is None else newest.coverage
    asked = {name: value for revision in revisions for name, value in revision.asked.items()}
    prediction = prediction_of(context.workspace, record)
    return CaseOut(
        id=record.id,
        shape=list(geometry.shape),
        spacing_mm=list(geometry.spacing_mm),
        affine=[list(row) for row in geometry.affine],
        orientation=geometry.orientation,
        slice_axis=record.slice_axis,
        channels=list(record.channel_names),
        revisions=len(revisions),
        etag="none" if newest is None else newest.sha256,
        voxel_share=0.0 if coverage is None else coverage.voxels / geometry.voxel_count,
        slice_share=0.0 if coverage is None else coverage.slices / record.slice_count,
        labels={} if coverage is None else coverage.labels,
        asked=sorted(asked, key=asked.__getitem__),
        has_proposal=prediction is not None,
        has_uncertainty=uncertainty_file(context.workspace, record) is not None,
        open_queries=open_queries,
        quality=None if prediction is None else quality_of(context.workspace, prediction),
    )

"""Smart fill: what lies between slices that somebody has drawn."""

from __future__ import annotations

from fastapi import APIRouter

from voxloop.serve.context import CaseDep, ContextDep
from voxloop.serve.problems import not_found
from voxloop.serve.proposed import ready_proposal
from voxloop.serve.schemas import FillBody
from voxloop.volume.runs import Patch
from voxloop.volume.slice_fill import fill_between

__all__ = ["fill", "router"]

router = APIRouter(tags=["fill"])


@router.post("/cases/{case_id}/fill")
def fill(
    context: ContextDep, record: CaseDep, body: FillBody
) -> dict[str, list[dict[str, list[int]]]]:
    """The slices between drawn ones, by the distance to each label's outline or as proposed.

    The drawn patches are one slice thick across `axis` and cover the same box otherwise.
    """
    drawn = [patch.patch(record.geometry.shape) for patch in body.patches]
    filled = fill_between(drawn, body.axis, record.geometry.spacing_mm)
    if body.by == "model":
        proposal = ready_proposal(context, record)
        if proposal is None:
            raise not_found("there is no proposal for this case yet")
        filled = tuple(Patch(p.box, proposal.voxels[p.box.slices]) for p in filled)
    return {"patches": [patch.to_json() for patch in filled]}

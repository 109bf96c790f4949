"""All routes of MONAI Label's protocol, at the base path itself."""

from __future__ import annotations

from fastapi import APIRouter

from voxloop.serve.monailabel import (
    datastore,
    inference,
    information,
    labels,
    samples,
    sessions,
    training,
)

__all__ = ["router"]

router = APIRouter()
for _part in (information, samples, inference, labels, datastore, training, sessions):
    router.include_router(_part.router)

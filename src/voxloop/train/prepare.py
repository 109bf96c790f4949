"""From annotated cases to training cases: measured, planned, brought to the network's grid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import atomic_path
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.annotation import Target
from voxloop.plan.fingerprint import fingerprint_case, summarise_cases
from voxloop.plan.plan import Plan
from voxloop.plan.planner import DEFAULT_MEMORY_BYTES, make_plan
from voxloop.plan.preprocess import plan_grid, prepare_image, prepare_target
from voxloop.train.patches import TrainingCase
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import Volume

__all__ = ["AnnotatedCase", "plan_for", "prepare_cases"]


@dataclass(frozen=True, eq=False)
class AnnotatedCase:
    """A case to learn from; its images are read when they are needed.

    Attributes:
        id: the case.
        read: gives the channels, on one grid.
        geometry: that grid.
        target: what is known of the labels on it.
        content: names the images' content, e.g. their hash; the key of the cache.
    """

    id: str
    read: Callable[[], tuple[Volume, ...]]
    geometry: Geometry
    target: Target
    content: str


def plan_for(
    cases: Sequence[AnnotatedCase],
    labels: LabelTable,
    channel_names: tuple[str, ...],
    memory_limit_bytes: int = DEFAULT_MEMORY_BYTES,
    progress: ProgressSink = silent,
) -> Plan:
    """Measure cases and derive the plan; the same cases always give the same plan.

    Raises:
        DataError: if there is no case.
        LimitError: if the memory limit is too low.
    """
    measured = []
    for number, case in enumerate(sorted(cases, key=lambda c: c.id)):
        rng = np.random.default_rng(number)
        measured.append(fingerprint_case(case.read(), case.target, rng))
        progress(Progress("measuring", number + 1, len(cases), case.id))
    fingerprint = summarise_cases(measured, channel_names, labels)
    return make_plan(fingerprint, labels, channel_names, memory_limit_bytes)


def prepare_cases(
    cases: Sequence[AnnotatedCase], plan: Plan, cache: Path, progress: ProgressSink = silent
) -> tuple[TrainingCase, ...]:
    """Bring cases to the network's grid; images stay on disk and are read by patch.

    Args:
        cases: to learn from.
        plan: spacing and normalisation.
        cache: folder of prepared images; may be deleted at any time.
        progress: receives cases done.
    """
    prepared = []
    for number, case in enumerate(sorted(cases, key=lambda c: c.id), start=1):
        image = _cached_image(case, plan, cache)
        target = prepare_target(case.target, case.geometry, plan)
        spacing = plan_grid(case.geometry, plan).spacing_mm
        prepared.append(TrainingCase(case.id, image, target, spacing))
        progress(Progress("preparing", number, len(cases), case.id))
    return tuple(prepared)


def _cached_image(case: AnnotatedCase, plan: Plan, cache: Path) -> npt.NDArray[np.float32]:
    document = plan.to_json()
    recipe = [case.content, document["spacing_mm"], document["normalisation"]]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:24]
    path = cache / f"{case.id}-{key}.npy"
    if not path.exists():
        array = prepare_image(case.read(), plan).array
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            np.save(handle, array)
    image: npt.NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return image

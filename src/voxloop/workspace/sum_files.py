"""Sums of a case's annotations on the disk, so that the next process need not make them anew.

They lie in the cache: whatever is missing, damaged or of other revisions is made again.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from voxloop.compute.atomic import write_bytes
from voxloop.dataset.annotation import Target
from voxloop.errors import StorageError
from voxloop.volume.labels import LabelTable
from voxloop.workspace.sums import Step

__all__ = ["read_sum", "write_sum"]

_FORMAT = "voxloop-sum-1"
_HEAD_BYTES = 16 << 20
_HEADER_BYTES = 4096
"""Of an array's own header, more than NumPy ever writes."""


def read_sum(
    path: Path, steps: Sequence[Step], shape: tuple[int, int, int], labels: LabelTable
) -> tuple[int, Target]:
    """How many of the steps a file has added up, and their sum; none and an empty one.

    Args:
        path: the file, which need not be there.
        steps: the revisions that count, oldest first.
        shape: of the case's grid.
        labels: the label table.
    """
    damaged = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
    most = {"head.npy": _HEAD_BYTES}
    with suppress(*damaged), path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        for entry in file.zip.infolist():  # before anything is unpacked
            if entry.file_size > most.get(entry.filename, math.prod(shape) + _HEADER_BYTES):
                raise ValueError(entry.filename)
        head = json.loads(bytes(file["head"]))
        done = [tuple(step) for step in head["steps"]]
        fits = done == list(steps[: len(done)]) and head["labels"] == labels.to_json()
        if head["format"] == _FORMAT and fits:
            values, asked = file["values"], file["asked"]
            sets = tuple(frozenset(map(int, one)) for one in head["asked_sets"])
            if values.shape == asked.shape == shape and values.dtype == asked.dtype == np.uint8:
                return len(done), Target(values, asked, sets, labels)
    return 0, Target.empty(shape, labels)


def write_sum(path: Path, steps: Sequence[Step], target: Target) -> None:
    """Write a sum; a disk that refuses costs time later, and nothing else.

    Args:
        path: the file.
        steps: the revisions that it adds up, oldest first.
        target: the sum.
    """
    head = {
        "format": _FORMAT,
        "steps": list(steps),
        "labels": target.labels.to_json(),
        "asked_sets": [sorted(one) for one in target.asked_sets],
    }
    content = io.BytesIO()
    np.savez_compressed(
        content,
        head=np.frombuffer(json.dumps(head).encode(), dtype=np.uint8),
        values=target.values,
        asked=target.asked,
    )
    with suppress(OSError, StorageError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.getvalue())

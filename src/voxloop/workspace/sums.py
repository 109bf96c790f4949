"""Sums of annotations that this process has made before, so that they are not made anew."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from voxloop.dataset.annotation import Target
from voxloop.volume.labels import LabelTable
from voxloop.workspace.turns import Turns

__all__ = ["SUMS", "Step", "Sums", "stamp"]

Place = tuple[str, str, LabelTable]
"""Workspace, case and label table."""

Step = tuple[str, int, int]
"""A revision: its hash, and size and time of change of its file."""


class Sums:
    """For each case the newest sum, as long as there is room.

    Args:
        room_bytes: for all sums together; the one that was used longest ago goes first.
    """

    def __init__(self, room_bytes: int = 256 << 20) -> None:
        self._room, self._lock = room_bytes, threading.Lock()
        self._kept: OrderedDict[Place, tuple[tuple[Step, ...], Target]] = OrderedDict()
        self._held = 0
        self._turns = Turns()

    def alone(self, place: Place) -> threading.Lock:
        """To be held while a case's sum is made: others that want it wait instead of making it."""
        return self._turns.of(place)

    def longest(
        self, place: Place, steps: Sequence[Step], shape: tuple[int, int, int]
    ) -> tuple[int, Target]:
        """How many of the steps are added up already, and their sum; none and an empty one.

        Args:
            place: the case.
            steps: the revisions that count, oldest first.
            shape: of the case's grid.
        """
        with self._lock:
            done, target = self._kept.get(place, ((), None))
            if target is None or done != tuple(steps[: len(done)]):
                return 0, Target.empty(shape, place[2])
            self._kept.move_to_end(place)
            return len(done), target

    def keep(self, place: Place, steps: Sequence[Step], target: Target) -> None:
        """Remember a sum; its arrays become read-only."""
        for array in (target.values, target.asked):
            array.setflags(write=False)
        with self._lock:
            if place in self._kept:
                self._held -= _bytes(self._kept.pop(place))
            self._kept[place] = tuple(steps), target
            self._held += _bytes(self._kept[place])
            while self._held > self._room:
                self._held -= _bytes(self._kept.popitem(last=False)[1])


SUMS = Sums()
"""Of this process; safe to share, since every entry names the files it was made of."""


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of change of a file; zeros where it cannot be seen."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _bytes(entry: tuple[tuple[Step, ...], Target]) -> int:
    return 2 * entry[1].values.size

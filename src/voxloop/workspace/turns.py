"""Turns of threads that want the same thing: one has it, and the others are woken one by one."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable
from weakref import WeakValueDictionary

__all__ = ["Turns"]


class Turns:
    """A lock for each thing that some thread wants now; of what nobody wants nothing is kept."""

    def __init__(self) -> None:
        self._begin()
        # in a child, a turn that another thread of its parent had would never end
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[Hashable, threading.Lock] = WeakValueDictionary()

    def of(self, thing: Hashable) -> threading.Lock:
        """The lock to take; the same for all threads of this process."""
        with self._guard:
            return self._locks.setdefault(thing, threading.Lock())

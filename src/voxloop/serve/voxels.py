"""Scans and label maps, unpacked once so that a slice of a large one is there at once.

A file is unpacked to the workspace's cache and mapped into memory from there; its parts are read
from the disk as they are asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxloop.compute.atomic import atomic_path
from voxloop.errors import StorageError
from voxloop.io.formats import read_volume

__all__ = ["VoxelFiles"]

_ROOM_BYTES = 8 << 30
"""For all unpacked files; the one that was used longest ago goes first."""


class VoxelFiles:
    """Unpacked voxels by the file they come from.

    Args:
        folder: may be deleted at any time.
        room_bytes: for all files in it.
    """

    def __init__(self, folder: Path, room_bytes: int = _ROOM_BYTES) -> None:
        self._folder, self._room = folder, room_bytes
        self._lock = threading.Lock()
        self._at_work: dict[str, threading.Lock] = {}

    def open(self, path: Path) -> npt.NDArray[Any]:
        """The voxels of a file, (I, J, K) in a type that every viewer knows; not to be written to.

        Raises:
            DataError: if the file is bad.
            LimitError: if it does not fit into memory.
        """
        status = path.stat()
        name = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
        return self.keep(name, lambda: _shown(read_volume(path).array))

    def keep(self, name: str, make: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Voxels by a name that no other voxels ever have, made if they are not there.

        Args:
            name: of the content.
            make: gives them.
        """
        key = hashlib.sha256(name.encode()).hexdigest()[:32]
        file = self._folder / f"{key}.npy"
        with self._lock:
            lock = self._at_work.setdefault(key, threading.Lock())
        with lock:  # two who ask for the same do not unpack it twice
            with contextlib.suppress(OSError, ValueError):
                found: npt.NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
                file.touch()  # used just now
                return found
            array = make()
            with contextlib.suppress(StorageError):  # on a full disk it is made each time
                self._store(file, array)
        return array

    def _store(self, file: Path, array: npt.NDArray[Any]) -> None:
        with atomic_path(file) as temporary, temporary.open("wb") as handle:
            np.save(handle, array, allow_pickle=False)
        kept = []
        for path in self._folder.glob("*.npy"):
            with contextlib.suppress(OSError):
                status = path.stat()
                kept.append((status.st_mtime_ns, status.st_size, path))
        excess = sum(size for _, size, _ in kept) - self._room
        for _, size, path in sorted(kept):
            if excess <= 0 or path == file:
                break
            path.unlink(missing_ok=True)  # whoever has it open keeps it until he is done
            excess -= size


def _shown(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Types beyond 32 bits, and bool, are known to few viewers."""
    if array.dtype.itemsize > 4:
        return array.astype(np.float32)
    return array.astype(np.uint8) if array.dtype == bool else array

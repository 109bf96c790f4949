"""Everything Voxloop raises on purpose, and the exit code each ends in.

VoxloopError                     1   never raised itself
├── UsageError                   2   the request cannot be honoured as it stands
│   └── MissingExtraError        2   an optional part of the installation is absent
├── DataError                    3   input data are bad; carries every `Problem` found
├── LimitError                   4   a declared limit of memory, time or disk would be passed
│   └── StorageError             4   the disk is full, read-only, or refuses the write
└── InterruptedJobError          5   stopped on the way; running the same command again resumes
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

__all__ = [
    "DataError",
    "InterruptedJobError",
    "LimitError",
    "MissingExtraError",
    "Problem",
    "StorageError",
    "UsageError",
    "VoxloopError",
]

_STORAGE_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
)


class VoxloopError(Exception):
    """The root of the tree; `except VoxloopError` catches whatever Voxloop means to raise."""

    exit_code: ClassVar[int] = 1


class UsageError(VoxloopError):
    """The request cannot be honoured: a wrong option, an unknown case, a step out of order."""

    exit_code = 2


class MissingExtraError(UsageError):
    """A feature needs a package that belongs to an optional extra.

    Args:
        feature: what the user wanted to do, as a noun phrase.
        package: the distribution that could not be imported.
        extra: the extra of Voxloop that brings it.
    """

    def __init__(self, feature: str, package: str, extra: str) -> None:
        self.feature, self.package, self.extra = feature, package, extra
        super().__init__(
            f"{feature} needs the package {package!r}, which is not installed; "
            f"run: pip install 'voxloop[{extra}]'"
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the input, in words a person can act on.

    Attributes:
        where: the case and file, e.g. `case "liver_012", labels/liver_012.nii.gz`.
        expected: what would have been right.
        found: what was there instead.
        remedy: what to do about it, as an imperative.
    """

    where: str
    expected: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, found {self.found}; {self.remedy}"


class DataError(VoxloopError):
    """Input data that cannot be used. Nothing has been changed when this is raised.

    A check over many files collects all of its problems and raises once.

    Args:
        problems: one or more findings, in the order in which they were met.
    """

    exit_code = 3

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        if not self.problems:
            message = "a DataError needs at least one problem"
            raise ValueError(message)
        if len(self.problems) == 1:
            super().__init__(str(self.problems[0]))
            return
        listed = "\n".join(f"  {number}. {p}" for number, p in enumerate(self.problems, start=1))
        super().__init__(f"{len(self.problems)} problems found, nothing was changed:\n{listed}")


class LimitError(VoxloopError):
    """A limit that was declared beforehand would be passed; raised before the work starts."""

    exit_code = 4


class StorageError(LimitError):
    """A file could not be written. What was there before is still there, unchanged."""

    @classmethod
    def from_os_error(cls, path: Path, error: OSError) -> StorageError:
        """Say in words why `path` could not be written, from what the system reported."""
        reason = error.strerror or str(error)
        return cls(
            f"cannot write {path}: {reason}; nothing was saved and the previous content is "
            "unchanged; free some space or choose a writable folder, then run the command again"
        )

    @staticmethod
    def explains(error: OSError) -> bool:
        """True if `error` is the disk's refusal (full, read-only, forbidden), not a bug."""
        return error.errno in _STORAGE_ERRNOS


class InterruptedJobError(VoxloopError):
    """A long job was stopped (Ctrl-C, a signal); its state is on disk and resumes."""

    exit_code = 5

"""Voxloop: few labelled slices in; label maps, honest scores and printable meshes out."""

from voxloop.errors import DataError, LimitError, UsageError, VoxloopError

__all__ = [
    "DataError",
    "LimitError",
    "UsageError",
    "VoxloopError",
]

__version__ = "0.1.0"

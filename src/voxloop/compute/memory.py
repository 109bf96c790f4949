"""Declared memory ceilings: what is needed is compared with what is allowed before starting."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from voxloop.errors import LimitError

__all__ = ["GIB", "available_bytes", "format_bytes", "peak_rss_bytes", "require_bytes"]

GIB = 1 << 30
_FALLBACK_BYTES = 8 * GIB
"""Assumed where the system does not say: the supported minimum of an ordinary computer."""


def available_bytes() -> int:
    """Memory that can be taken now without swapping, in bytes (8 GiB where unknown)."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return _FALLBACK_BYTES
    return _stated(meminfo, "MemAvailable:") or _FALLBACK_BYTES


def peak_rss_bytes() -> int:
    """The most memory this process has held so far, in bytes."""
    status = Path("/proc/self/status")
    # the system's own record of a process starts with the peak of the one that started it
    if status.exists() and (stated := _stated(status, "VmHWM:")):
        return stated
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def require_bytes(needed: int, what: str, limit: int | None = None) -> None:
    """Refuse work that needs more memory than is allowed, before anything is allocated.

    Args:
        needed: bytes the work will hold at its peak.
        what: the work, as a noun phrase for the message.
        limit: the declared ceiling in bytes; what is available now where absent.

    Raises:
        LimitError: if `needed` is above the ceiling.
    """
    ceiling = available_bytes() if limit is None else limit
    if needed > ceiling:
        remedy = (
            "close other programs, crop or downsample the scan, or take a machine with more memory"
            if limit is None
            else "allow more, or crop or downsample the scan"
        )
        raise LimitError(
            f"{what} needs {format_bytes(needed)} of memory, {format_bytes(ceiling)} may be used; "
            f"{remedy}"
        )


def format_bytes(count: int) -> str:
    """Bytes for a person to read, e.g. `18.3 GiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _stated(path: Path, name: str) -> int | None:
    """A size that Linux states in one of its tables, in bytes."""
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return None

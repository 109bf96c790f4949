"""What time it is, as written into records."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> str:
    """Now, in UTC, as ISO 8601 with milliseconds, e.g. `2025-03-01T09:30:00.125+00:00`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")

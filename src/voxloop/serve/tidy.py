"""Documents as JSON has them: no infinities, no types of libraries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """The same document; what is not a number becomes None, a path its last part."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return value.name
    single = value.value if isinstance(value, Enum) else value
    if hasattr(single, "item"):  # a scalar of numpy
        single = single.item()
    return None if isinstance(single, float) and not math.isfinite(single) else single

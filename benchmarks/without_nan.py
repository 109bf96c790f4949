"""What JSON can hold of figures of which some could not be told."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["without_nan"]


def without_nan(found: Any) -> Any:
    """The same document with nothing in place of what is not a finite number."""
    if isinstance(found, dict):
        return {key: without_nan(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [without_nan(value) for value in found]
    if isinstance(found, float | np.floating):
        return float(found) if np.isfinite(found) else None
    return found

"""Import a package of an optional extra, or say which extra brings it."""

from __future__ import annotations

import importlib
from types import ModuleType

from voxloop.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, *, feature: str, extra: str) -> ModuleType:
    """Import `module`, which belongs to the optional `extra`, for `feature`.

    Raises:
        MissingExtraError: if it is not installed; names the feature and the install command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, module.partition(".")[0], extra) from error

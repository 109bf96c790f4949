"""If-Match: a change is made only to the state that its author has seen."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header
from starlette.exceptions import HTTPException

__all__ = ["IfMatchDep", "IfMatchNeeded", "etag"]

_TAG = re.compile(r'(?:W/)?"?([0-9a-f]{64}|none)"?')


def etag(newest: str | None) -> str:
    """The ETag of a case's annotation: the hash of its newest revision, or `none`."""
    return f'"{newest or "none"}"'


_IfMatch = Annotated[
    str | None,
    Header(description="The case's ETag as last seen, `none` without a revision; * for any."),
]


def _given(if_match: _IfMatch = None) -> str | None:
    """The hash expected, empty for a case without a revision, None where any is right."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _TAG.fullmatch(if_match.strip())
    if match is None:
        raise HTTPException(400, "If-Match has one ETag of the case, or *")
    return "" if match[1] == "none" else match[1]


def _needed(if_match: _IfMatch = None) -> str | None:
    if if_match is None:
        raise HTTPException(428, "say with If-Match which state of the case you have seen")
    return _given(if_match)


IfMatchDep = Annotated[str | None, Depends(_given)]
"""Checked where it is given."""

IfMatchNeeded = Annotated[str | None, Depends(_needed)]
"""Must be given."""

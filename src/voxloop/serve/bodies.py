"""Bodies of requests: no larger than allowed, and no slower."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from voxloop.compute.memory import format_bytes
from voxloop.serve.admission import Refusal
from voxloop.serve.settings import ServeSettings

__all__ = ["MeteredBody", "refused_body"]

_CLOSE = {"Connection": "close"}
"""What is left of a refused body is not read."""


def refused_body(settings: ServeSettings, headers: Mapping[str, str]) -> Refusal | None:
    """What can be said against a body before any of it is read; None if nothing.

    Args:
        settings: of the server.
        headers: by lower-case name.
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        return Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body as it is, without Content-Encoding"
        )
    length, most = headers.get("content-length", "0"), _most_bytes(settings, headers)
    if not length.isascii() or not length.isdigit() or len(length) > 18:
        return Refusal(HTTPStatus.BAD_REQUEST, "Content-Length is no number")
    if int(length) > most:
        return _too_large(most)
    return None


class MeteredBody:
    """Receives a body and ends it with an error when it is too large or too slow.

    Args:
        receive: of the server.
        settings: with the limits.
        headers: of the request, by lower-case name.
    """

    def __init__(
        self, receive: Receive, settings: ServeSettings, headers: Mapping[str, str]
    ) -> None:
        self._receive, self._settings = receive, settings
        self._most = _most_bytes(settings, headers)
        self._began_s = time.monotonic()
        self._bytes, self._whole = 0, False

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            HTTPException: 408 if the body stands still or crawls, 413 if it is too large.
        """
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._settings.body_timeout_s)
        except TimeoutError:
            raise _too_slow() from None
        if message["type"] == "http.request":
            self._count(message)
        return message

    def _count(self, message: Mapping[str, Any]) -> None:
        self._bytes += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._bytes > self._most:
            refusal = _too_large(self._most)
            raise HTTPException(refusal.status, refusal.detail, _CLOSE)
        took_s = time.monotonic() - self._began_s
        late = took_s > self._settings.body_timeout_s
        if not self._whole and late and self._bytes < self._settings.min_body_rate * took_s:
            raise _too_slow()


def _most_bytes(settings: ServeSettings, headers: Mapping[str, str]) -> int:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    plain = kind.endswith(("/json", "+json", "/x-www-form-urlencoded"))
    most = settings.max_body_bytes
    return min(settings.max_json_bytes, most) if plain else most


def _too_large(most: int) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than the {format_bytes(most)} that are taken",
    )


def _too_slow() -> HTTPException:
    return HTTPException(HTTPStatus.REQUEST_TIMEOUT, "the body came too slowly", _CLOSE)

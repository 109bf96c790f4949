"""HTTP/1.1 for those who say within a while what they want."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from voxloop.serve.headers import HEADERS
from voxloop.serve.problems import problem

__all__ = ["PromptProtocol", "prompt_protocol"]


class PromptProtocol(H11Protocol):
    """One connection, closed when a head does not come to its end.

    Uvicorn itself waits for ever, so whoever sends a byte now and then could hold every connection
    there is. Between requests its `timeout_keep_alive` closes them.

    Attributes:
        head_timeout_s: from the connection, or the first byte of a later request, to the blank
            line that ends a head.
    """

    head_timeout_s = 10.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait on unless the head is complete."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:  # to one that said nothing there is nothing to say
            self._refuse()
        self.transport.close()

    def _refuse(self) -> None:
        reply = problem(HTTPStatus.REQUEST_TIMEOUT, "the head of the request came too slowly")
        headers = [*reply.raw_headers, *HEADERS, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=reply.status_code, headers=headers),
            h11.Data(data=bytes(reply.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")


def prompt_protocol(head_timeout_s: float) -> type[PromptProtocol]:
    """The protocol with another `head_timeout_s`."""
    return type("PromptProtocol", (PromptProtocol,), {"head_timeout_s": head_timeout_s})

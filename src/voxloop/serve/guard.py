"""What stands between the network and the application."""

from __future__ import annotations

import logging
import secrets
import time
import traceback
from pathlib import PurePath
from typing import Any

from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voxloop.serve.admission import Refusal, admit, headers_of
from voxloop.serve.bodies import MeteredBody, refused_body
from voxloop.serve.headers import HEADERS
from voxloop.serve.problems import problem
from voxloop.serve.settings import ServeSettings

__all__ = ["Guard"]

_LOG = logging.getLogger("voxloop.serve")


class Guard:
    """Refuses what may not come in, limits what may, and adds the headers of every reply.

    The log has method, route and status of each request: no addresses, which hold the token, and
    no ids, which may hold a name.

    Args:
        app: the application.
        settings: of the server.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, _Reply(scope, send))
        else:  # nothing here speaks WebSocket
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
        headers = headers_of(scope["headers"])
        refusal = admit(self._settings, scope["method"], scope["path"], headers)
        refusal = refusal or refused_body(self._settings, headers)
        if refusal is not None:
            await _refuse(refusal, scope, receive, reply)
            return
        base = self._settings.base_path
        if base and scope["path"] == base:  # the page's addresses are relative to its folder
            await RedirectResponse(f"{base}/", status_code=307)(scope, receive, reply)
            return
        scope["root_path"] = scope.get("root_path", "") + base
        try:
            await self._app(scope, MeteredBody(receive, self._settings, headers), reply)
        except Exception as error:  # noqa: BLE001 # the last resort that turns a bug into a reply
            await _confess(error, scope, receive, reply)
        finally:
            reply.log()


class _Reply:
    """Sends a reply with the headers of all."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._began_s, self.status = time.monotonic(), 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name for name, _ in message.get("headers", [])}
            own = [pair for pair in HEADERS if pair[0] not in present]
            if b"cache-control" not in present:  # what has a tag may be kept, and asked for again
                kept = b"private, no-cache" if b"etag" in present else b"no-store"
                own.append((b"cache-control", kept))
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await self._send(message)

    def log(self) -> None:
        route: Any = self._scope.get("route")
        place = getattr(route, "path", "-")
        took_ms = 1000 * (time.monotonic() - self._began_s)
        _LOG.info("%s %s %d %.0f ms", self._scope["method"], place, self.status, took_ms)


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, reply: _Reply) -> None:
    response = problem(refusal.status, refusal.detail, headers={"Connection": "close"})
    await response(scope, receive, reply)
    reply.log()


async def _confess(error: Exception, scope: Scope, receive: Receive, reply: _Reply) -> None:
    number = secrets.token_hex(4)
    frames = traceback.extract_tb(error.__traceback__)
    trail = " > ".join(f"{PurePath(f.filename).name}:{f.lineno}" for f in frames[-6:])
    _LOG.error("bug %s: %s at %s", number, type(error).__name__, trail)
    if reply.status:
        return
    detail = f"a bug of ours; the server's log has it under {number}"
    response: Response = problem(500, detail, number=number)
    await response(scope, receive, reply)

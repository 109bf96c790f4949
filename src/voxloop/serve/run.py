"""Run the server until it is told to stop."""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import Callable
from contextlib import closing, suppress

import uvicorn

from voxloop.errors import UsageError
from voxloop.serve.app import create_app
from voxloop.serve.protocol import prompt_protocol
from voxloop.serve.settings import ServeSettings
from voxloop.workspace.workspace import Workspace

__all__ = ["run", "server_for"]

_BACKLOG = 512
_MOST_HEADER_BYTES = 64 << 10


def run(workspace: Workspace, settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Serve a workspace until the process is interrupted; jobs go on without it.

    Args:
        workspace: to serve.
        settings: of the server.
        announce: is told the address, token included, once the port is open.

    Raises:
        UsageError: if the port cannot be had.
    """
    shutil.rmtree(workspace.layout.arrivals, ignore_errors=True)  # of a server that was killed
    logging.getLogger("voxloop.serve").setLevel(logging.WARNING)
    with closing(_bound(settings)) as bound:
        server = server_for(workspace, settings)
        announce(settings.url(bound.getsockname()[1]))
        with suppress(KeyboardInterrupt):  # the usual way to end a server
            server.run(sockets=[bound])


def server_for(workspace: Workspace, settings: ServeSettings) -> uvicorn.Server:
    """The application with what uvicorn is to see to.

    Args:
        workspace: to serve.
        settings: of the server.
    """
    app = create_app(workspace, settings)
    config = uvicorn.Config(
        app,
        access_log=False,  # its lines would hold the token
        log_level="warning",
        server_header=False,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        http=prompt_protocol(settings.head_timeout_s),
        ws="none",
    )
    server = uvicorn.Server(config)
    app.state.is_ending = lambda: server.should_exit
    return server


def _bound(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise UsageError(
            f"cannot open port {settings.port} of {settings.host}: {error.strerror}; choose "
            "another --port, or stop the server that has it"
        ) from error
    return bound

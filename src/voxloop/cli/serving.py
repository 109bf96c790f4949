"""The verb `serve`: a page and an API on a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voxloop.cli.options import HERE, JsonOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result
from voxloop.compute.extras import require
from voxloop.errors import UsageError

__all__ = ["register", "serve"]

_MIB = 1 << 20


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(serve)


def serve(
    workspace: Annotated[
        Path, typer.Argument(help="The workspace's folder.", file_okay=False)
    ] = HERE,
    *,
    host: Annotated[
        str, typer.Option(help="Address to bind to; others than this computer need the token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port; 0 for any that is free.")] = 8571,
    token: Annotated[
        str | None,
        typer.Option(
            help="Secret part of the address, 16 characters or more.", show_default="random"
        ),
    ] = None,
    no_token: Annotated[
        bool,
        typer.Option("--no-token", help="Let every program of this computer in; loopback only."),
    ] = False,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="A further name of this server; once for each.",
            show_default="none",
        ),
    ] = None,
    max_body: Annotated[float, typer.Option(help="MiB that one delivery may have.")] = 512.0,
    json: JsonOption = False,
) -> int:
    """Let annotators in: a page to draw on, an API, and what 3D Slicer's MONAI Label plugin speaks.

    Whoever has the address that is printed can read and annotate. Training and predicting go on
    in processes of their own, also when the server is stopped.
    """
    for module in ("fastapi", "uvicorn", "python_multipart"):
        require(module, feature="the annotation server", extra="serve")
    from voxloop.serve.run import run
    from voxloop.serve.settings import ServeSettings, new_token
    from voxloop.workspace.workspace import Workspace

    if no_token and token is not None:
        raise UsageError("say either --token or --no-token")
    settings = ServeSettings(
        host=host,
        port=port,
        token=None if no_token else token or new_token(),
        names=tuple(name or ()),
        max_body_bytes=int(max_body * _MIB),
    )
    screen = Screen(json=json)
    opened = Workspace.open(workspace)

    def announce(url: str) -> None:
        result = Result(
            summary=f'serving workspace "{opened.name}" at {url}',
            document={"url": url, "workspace": opened.name},
            next_step="open that address in a browser; Ctrl-C ends the server",
        )
        screen.show(result)

    run(opened, settings, announce)
    return 0

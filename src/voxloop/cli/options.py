"""Options that several commands share, so that they are named and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["HERE", "AskedOption", "AuthorOption", "JsonOption", "WorkspaceOption"]

HERE = Path()
"""The folder in which the command was given."""

AskedOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A label that the label maps cover; once for each. The others were not looked for: "
        "nothing is known of them.",
        show_default="all labels",
    ),
]

AuthorOption = Annotated[
    str,
    typer.Option(
        help="Who does it, for the audit trail.", show_default="the workspace's, or system user"
    ),
]

JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Write one JSON document to standard output, everything else to standard error.",
    ),
]

WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", "-w", help="The workspace's folder.", file_okay=False),
]

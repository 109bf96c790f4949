"""Options that several commands share, so that they are named and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["HERE", "AuthorOption", "JsonOption", "WorkspaceOption"]

HERE = Path()
"""The folder in which the command was given."""

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

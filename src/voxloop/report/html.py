"""A report as one HTML file: no network, no script, nothing beside it."""

from __future__ import annotations

import base64
import re
from importlib import resources
from pathlib import Path

from voxloop.compute.atomic import write_text
from voxloop.compute.extras import require
from voxloop.report.content import Report

__all__ = ["render_html", "write_html"]

_NUMBER = re.compile(r"[+-]?\d[^ ]*|n/a|\u2013")
"""Cells that must not be broken over lines; a mean may be, before its interval."""


def render_html(report: Report) -> str:
    """Write a report as a self-contained HTML document; all text is escaped.

    Raises:
        MissingExtraError: if jinja2 is not installed.
    """
    jinja2 = require("jinja2", feature="the HTML report", extra="report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    environment.tests["number"] = lambda cell: _NUMBER.fullmatch(cell) is not None
    source = resources.files("voxloop.report").joinpath("report.html.j2").read_text("utf-8")
    return str(environment.from_string(source).render(report=report))


def write_html(path: Path, report: Report) -> None:
    """Write a report to a file, atomically.

    Raises:
        MissingExtraError: if jinja2 is not installed.
        StorageError: if the disk refuses; what was there before is unchanged.
    """
    write_text(path, render_html(report))


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")

"""`voxloop.toml`: the part of a workspace that a person may edit."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from voxloop.errors import DataError, Problem, UsageError
from voxloop.volume.labels import LabelTable
from voxloop.workspace.delivery import LookedAt

__all__ = ["FORMAT_VERSION", "Settings", "parse_settings", "read_settings", "render_settings"]

FORMAT_VERSION = 1
"""Of the workspace on disk; a workspace of a later version is refused, never guessed at."""

_TOP_KEYS = ("format", "name", "labels", "settings")


@dataclass(frozen=True)
class Settings:
    """What a workspace is about and how it is used.

    Attributes:
        name: for people; not empty.
        labels: the one label table of all annotations and predictions.
        author: who annotates unless a delivery says otherwise; the system's user where empty.
        looked_at: the policy of `collect` unless a delivery says otherwise.

    Raises:
        DataError: if the name is empty or has control characters.
    """

    name: str
    labels: LabelTable
    author: str = ""
    looked_at: LookedAt = LookedAt.AUTO

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.name.isprintable():
            raise DataError(_bad("a printable name", repr(self.name), "choose another name"))


_SETTING_KEYS = tuple(f.name for f in fields(Settings) if f.name not in {"name", "labels"})


def read_settings(path: Path) -> Settings:
    """Read `voxloop.toml` strictly: unknown keys and wrong types are errors.

    Raises:
        DataError: if the file cannot be read as settings; lists every problem.
        UsageError: if the workspace was made by a later version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        remedy = "restore the file or correct its permissions"
        raise DataError(_bad("a readable UTF-8 file", str(error), remedy, str(path))) from error
    return parse_settings(text, where=str(path))


def parse_settings(text: str, *, where: str = "voxloop.toml") -> Settings:
    """Read the text of a `voxloop.toml`; see `read_settings`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(_bad("valid TOML", str(error), "correct that line", where)) from error
    version = document.get("format")
    if isinstance(version, int) and version > FORMAT_VERSION:
        message = f"{where} is of format {version}, this Voxloop knows {FORMAT_VERSION}; update it"
        raise UsageError(message)
    problems = _problems(document, where)
    if problems:
        raise DataError(problems)
    try:
        labels = LabelTable({value: name for name, value in document["labels"].items()})
        chosen = document.get("settings", {})
        policy = LookedAt(chosen.get("looked_at", LookedAt.AUTO))
        return Settings(document["name"], labels, chosen.get("author", ""), policy)
    except DataError as error:
        raise DataError(
            Problem(f"{where}, {p.where}", p.expected, p.found, p.remedy) for p in error.problems
        ) from error


def render_settings(settings: Settings) -> str:
    """The text of a `voxloop.toml`, with a remark for whoever opens it."""
    lines = [
        "# A Voxloop workspace. This file may be edited; label values must not change once",
        "# annotations exist. Further labels may be added.",
        f"format = {FORMAT_VERSION}",
        f"name = {_quoted(settings.name)}",
        "",
        "[labels]",
        *(f"{_quoted(name)} = {value}" for value, name in settings.labels.names.items()),
        "",
        "[settings]",
        *(f"{key} = {_quoted(getattr(settings, key))}" for key in _SETTING_KEYS),
    ]
    return "\n".join(lines) + "\n"


def _problems(document: Mapping[str, Any], where: str) -> list[Problem]:
    problems = _unknown(document, _TOP_KEYS, where)
    if document.get("format") != FORMAT_VERSION:
        found = repr(document.get("format", "nothing"))
        problems.append(_bad(f"format = {FORMAT_VERSION}", found, "restore that line", where))
    if not isinstance(document.get("name"), str):
        problems.append(_bad('a line name = "..."', "none", "add that line", where))
    labels = document.get("labels", {})
    if not isinstance(labels, dict) or not all(type(v) is int for v in labels.values()):
        problems.append(_bad("[labels] with name = value", repr(labels), "correct it", where))
    elif len(set(labels.values())) != len(labels):
        problems.append(_bad("every label value once", repr(labels), "correct [labels]", where))
    settings = document.get("settings", {})
    if not isinstance(settings, dict) or not all(isinstance(v, str) for v in settings.values()):
        problems.append(_bad('[settings] with key = "text"', repr(settings), "correct it", where))
    else:
        problems += _unknown(settings, _SETTING_KEYS, f"{where}, [settings]")
        policy, choices = (
            settings.get("looked_at", LookedAt.AUTO),
            [choice.value for choice in LookedAt],
        )
        problems += _unlisted(policy, choices, f"{where}, [settings] looked_at")
    return problems


def _unknown(table: Mapping[str, Any], known: Sequence[str], where: str) -> list[Problem]:
    return [problem for key in table for problem in _unlisted(key, known, where)]


def _unlisted(word: str, known: Sequence[str], where: str) -> list[Problem]:
    if word in known:
        return []
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.0)
    remedy = f"did you mean {near[0]!r}? Correct or remove it"
    return [_bad(f"one of {', '.join(known)}", repr(word), remedy, where)]


def _quoted(text: str) -> str:
    # TOML's basic strings are JSON's, but for DEL, which must be escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _bad(expected: str, found: str, remedy: str, where: str = "workspace settings") -> Problem:
    return Problem(where, expected, found, remedy)

"""The page's files: whole, their own, and within what the content security policy allows."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import voxloop.serve
from voxloop.serve.headers import CONTENT_SECURITY_POLICY

PAGE = Path(voxloop.serve.__file__).parent / "page"
SCRIPTS = sorted(PAGE.glob("*.js"))
OWN = [*SCRIPTS, PAGE / "index.html", PAGE / "style.css"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_import_of_a_module_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"(?:\bfrom +|\bimport\()'([^']+)'", text)
    for module in named:
        assert module.startswith("./"), f"{module} would come from elsewhere"
        assert (PAGE / module).is_file(), module


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_is_asked_of_other_hosts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s'\"<>)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}, "a name space, which nobody fetches"


def test_the_page_has_no_script_or_style_in_its_markup() -> None:
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", text)
    assert not re.search(r"<style|\bstyle=|\bon[a-z]+=", text)
    assert not re.search(r"(?:src|href)=\"/", text), "addresses are relative to the token's path"
    for name in re.findall(r"(?:src|href)=\"([^#\"]+)\"", text):
        assert (PAGE / name).is_file(), name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_text_becomes_markup_or_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    forbidden = r"\binnerHTML|\bouterHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    assert not re.search(forbidden, text)


def test_niivue_is_the_file_that_its_authors_published() -> None:
    found = hashlib.sha256((PAGE / "vendor" / "niivue.js").read_bytes()).hexdigest()
    assert f"`{found}`" in (PAGE / "vendor" / "README.md").read_text(encoding="utf-8")
    licences = (PAGE / "vendor" / "LICENSES.txt").read_text(encoding="utf-8")
    assert "Copyright (c) 2021, Niivue" in licences


def test_the_policy_makes_no_exceptions() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "*" not in CONTENT_SECURITY_POLICY
    assert "script-src 'self';" in CONTENT_SECURITY_POLICY

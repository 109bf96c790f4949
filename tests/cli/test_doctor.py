"""The examination of the computer: complete, harmless, and right about what is missing."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from voxloop.cli import main
from voxloop.cli.doctor import Finding, examine
from voxloop.compute.memory import GIB


def _by_subject(folder: Path) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(folder)}


def test_every_finding_that_is_not_in_order_has_a_remedy(tmp_path: Path) -> None:
    findings = _by_subject(tmp_path)
    assert {"Python", "cores", "memory", "bfloat16", "free disk", "writing"} <= set(findings)
    for finding in findings.values():
        assert finding.state == "ok" or finding.remedy, finding
    assert list(tmp_path.iterdir()) == []


def test_an_extra_that_is_not_installed_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = metadata.version

    def version(package: str) -> str:
        if package == "vtk":
            raise metadata.PackageNotFoundError
        return "1.0" if package == "voxloop" else known(package)

    requires = ["numpy>=2.0", 'vtk>=9.4; extra == "mesh"', 'voxloop[mesh]; extra == "all"']
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda _: requires)
    findings = _by_subject(tmp_path)
    assert findings["numpy"].found == known("numpy")
    assert findings["vtk (mesh)"].state == "warning"
    assert "pip install 'voxloop[mesh]'" in findings["vtk (mesh)"].remedy
    assert not any("[" in subject for subject in findings)


def test_little_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxloop.cli.doctor.available_bytes", lambda: 2 * GIB)
    assert _by_subject(tmp_path)["memory"] == Finding(
        "memory", "warning", "2.0 GiB available", "close other programs; large scans may be refused"
    )


def test_a_folder_that_is_not_there_fails_with_4(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main.execute(["doctor", str(tmp_path / "absent"), "--json"]) == 4
    findings = json.loads(capfd.readouterr().out)["findings"]
    assert [f["subject"] for f in findings if f["state"] == "failed"] == ["writing"]

"""`voxloop doctor`: what this computer and this installation can do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from voxloop.cli.options import HERE, JsonOption
from voxloop.cli.render import Screen
from voxloop.cli.result import Result, Table
from voxloop.compute.atomic import write_text
from voxloop.compute.memory import GIB, available_bytes, format_bytes
from voxloop.errors import StorageError

__all__ = ["Finding", "doctor", "examine", "register"]

_ENOUGH_MEMORY_BYTES = 6 * GIB
"""What is left of the supported 8 GiB once the system and a browser have had their share."""

_ENOUGH_DISK_BYTES = 10 * GIB
"""Room for the cache and the rounds of a data set of some thirty CT scans."""

_FAILED = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined.

    Attributes:
        subject: what was examined.
        state: `ok`; `warning` if something will be slow or is not installed; `failed` if the work
            cannot be done like this.
        found: what was found, in words.
        remedy: what to do about it, as an imperative; empty if all is well.
    """

    subject: str
    state: Literal["ok", "warning", "failed"]
    found: str
    remedy: str = ""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(doctor)


def doctor(
    folder: Annotated[
        Path, typer.Argument(help="Where the work is to be done: its disk is examined.")
    ] = HERE,
    *,
    json: JsonOption = False,
) -> int:
    """Examine this computer and this installation; needs no workspace."""
    findings = examine(folder)
    failed = [finding for finding in findings if finding.state == "failed"]
    warned = [finding for finding in findings if finding.state == "warning"]
    rows = tuple((f.subject, f.state, f.found, f.remedy) for f in findings)
    result = Result(
        summary=f"{len(failed)} failed, {len(warned)} to know about, "
        f"{len(findings) - len(failed) - len(warned)} in order",
        document={"findings": [asdict(finding) for finding in findings]},
        tables=(Table("This computer", ("what", "state", "found", "what to do"), rows),),
        exit_code=_FAILED if failed else 0,
    )
    return Screen(json=json).show(result)


def examine(folder: Path) -> tuple[Finding, ...]:
    """Examine Python, the packages, the processor, the memory, and the disk under `folder`."""
    return (
        Finding("Python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        *_packages(),
        Finding("cores", "ok", f"{_cores()}"),
        _memory(),
        _bfloat16(),
        _accelerator(),
        _disk(folder),
        _writing(folder),
    )


def _packages() -> list[Finding]:
    try:
        findings = [Finding("voxloop", "ok", metadata.version("voxloop"))]
    except metadata.PackageNotFoundError:
        remedy = "pip install --editable . in the checkout"
        return [Finding("voxloop", "warning", "run from a folder, not installed", remedy)]
    for requirement in metadata.requires("voxloop") or []:
        name, _, marker = requirement.partition(";")
        package = name.split(">")[0].strip()
        extra = marker.partition("extra ==")[2].strip(" '\"")
        if extra != "all":
            findings.append(_package(package, extra))
    return findings


def _package(package: str, extra: str) -> Finding:
    subject = f"{package} ({extra})" if extra else package
    try:
        return Finding(subject, "ok", metadata.version(package))
    except metadata.PackageNotFoundError:
        if extra:
            remedy = f"pip install 'voxloop[{extra}]' if you want to {_PURPOSES[extra]}"
            return Finding(subject, "warning", "not installed", remedy)
        return Finding(subject, "failed", "not installed", "pip install voxloop")


_PURPOSES = {
    "train": "train and segment",
    "mesh": "make meshes",
    "report": "have reports",
    "research": "have tables of a study's results",
    "infer": "segment faster and export models",
}


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # what this process may use, not what is built in
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> Finding:
    free = available_bytes()
    if free >= _ENOUGH_MEMORY_BYTES:
        return Finding("memory", "ok", f"{format_bytes(free)} available")
    remedy = "close other programs; large scans may be refused"
    return Finding("memory", "warning", f"{format_bytes(free)} available", remedy)


def _bfloat16() -> Finding:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return Finding("bfloat16", "ok", "this system does not say")
    words = set(cpuinfo.read_text().split())
    native = sorted(words & {"avx512_bf16", "amx_bf16", "bf16"})
    return Finding("bfloat16", "ok", ", ".join(native) or "not in this processor: float32 is used")


def _accelerator() -> Finding:
    try:
        import torch
    except ModuleNotFoundError:
        return Finding("accelerator", "ok", "not looked for without torch")
    if torch.cuda.is_available():
        return Finding("accelerator", "ok", torch.cuda.get_device_name())
    return Finding("accelerator", "ok", f"none needed, {torch.get_num_threads()} threads are used")


def _disk(folder: Path) -> Finding:
    existing = next((p for p in (folder, *folder.absolute().parents) if p.exists()), Path())
    free = shutil.disk_usage(existing).free
    if free >= _ENOUGH_DISK_BYTES:
        return Finding("free disk", "ok", f"{format_bytes(free)} at {folder}")
    remedy = f"make room; some {format_bytes(_ENOUGH_DISK_BYTES)} suit thirty CT scans"
    return Finding("free disk", "warning", f"{format_bytes(free)} at {folder}", remedy)


def _writing(folder: Path) -> Finding:
    probe = folder / f".voxloop-write-test-{os.getpid()}"
    if not folder.is_dir():
        return Finding("writing", "failed", f"no folder {folder}", "create it, or name another")
    try:
        write_text(probe, sys.version)
    except StorageError as error:
        return Finding("writing", "failed", str(error), "choose a writable folder")
    finally:
        probe.unlink(missing_ok=True)
    return Finding("writing", "ok", f"{folder} can be written to")

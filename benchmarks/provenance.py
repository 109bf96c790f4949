"""Where a benchmark's figures come from: the commit and the machine they were measured on."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["commit", "machine", "provenance"]

_PACKAGES = ("torch", "openvino", "onnxruntime", "numpy", "nnunetv2", "monai", "vtk")


def provenance(script: str) -> dict[str, Any]:
    """What a result says of itself first.

    Args:
        script: its path, `__file__`.
    """
    path = Path(script).resolve().relative_to(Path(__file__).resolve().parents[1]).as_posix()
    return {"script": path, "commit": commit(), "machine": machine()}


def commit() -> str:
    """The checkout's; empty outside one."""
    with contextlib.suppress(OSError):
        return subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - the git of whoever runs this
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parent,
        ).stdout.strip()
    return ""


def machine() -> dict[str, Any]:
    """What figures were measured on: processor, threads that may be used, versions."""
    names = [line for line in _processor() if line.startswith("model name")]
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "processor": names[0].split(":")[1].strip() if names else platform.machine(),
        "cores": os.cpu_count(),
        "threads": int(os.environ.get("OMP_NUM_THREADS") or _usable_cores()),
        "python": platform.python_version(),
        **versions,
    }


def _usable_cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []

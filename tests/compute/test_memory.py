"""Peaks of memory belong to the process that held it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from voxloop.compute.memory import peak_rss_bytes, require_bytes
from voxloop.errors import LimitError


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells them apart")
def test_a_process_is_not_charged_with_what_its_parent_held() -> None:
    held = np.ones(40 << 20)  # 320 MiB
    assert peak_rss_bytes() > held.nbytes
    code = "from voxloop.compute.memory import peak_rss_bytes; print(peak_rss_bytes())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(told.stdout) < held.nbytes / 2


def test_a_declared_limit_is_named_with_its_own_remedy() -> None:
    require_bytes(10, "work", limit=10)
    with pytest.raises(LimitError, match="work needs 11 B of memory, 10 B may be used; allow more"):
        require_bytes(11, "work", limit=10)

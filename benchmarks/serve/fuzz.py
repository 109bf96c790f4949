"""Send the server what its OpenAPI description allows, and what it does not; nothing may be 5xx.

    pip install 'schemathesis==4.32.5'
    python benchmarks/serve/fuzz.py > benchmarks/results/serve_fuzz.json

Both the server's own API and MONAI Label's protocol are described. Schemathesis is no dependency
of the project: it brings 27 packages. Jobs and the protocol's trainings are left out, since each
would train for minutes; so are events, which never end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from announced import announced_url

from voxloop.io.formats import write_volume
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.suggest import suggest
from voxloop.workspace.workspace import Workspace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import provenance

TOKEN = "fuzzing-0123456789"  # noqa: S105 # of a server on loopback that lives for minutes
PARAMETERS = """[parameters]
"path.case_id" = "a"
"path.query_id" = "0-1"
"path.model" = "voxloop"
"path.strategy" = "queries"
"query.image" = "a"
"""
LEFT_OUT = "/jobs|/events|^/train/"
CHECKS = "not_a_server_error,content_type_conformance,response_headers_conformance"


def main() -> None:
    """Run schemathesis against a server on a small workspace and print the outcome as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="per operation")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = _workspace(Path(folder))
        command = [sys.executable, "-m", "voxloop", "serve", str(root), "--json", "--port", "0"]
        server = subprocess.Popen(
            [*command, "--token", TOKEN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            url = announced_url(server)
            config = Path(folder) / "schemathesis.toml"
            config.write_text(PARAMETERS)
            done = subprocess.run(
                [
                    sys.executable, "-m", "schemathesis.cli", "--config-file", str(config),
                    "run", f"{url}api/v1/openapi.json",
                    "--url", url.rstrip("/"), "--checks", CHECKS,
                    "--max-examples", str(chosen.examples), "--exclude-path-regex", LEFT_OUT,
                    "--suppress-health-check", "all", "--no-color",
                ],
                check=False, capture_output=True, text=True,
            )  # fmt: skip
        finally:
            server.kill()
            _, errors = server.communicate()
        Workspace.open(root).verify()
    document = {
        **provenance(__file__),
        "passed": done.returncode == 0,
        "server_errors": errors.count("bug "),
        "tail": done.stdout.splitlines()[-25:],
        "stderr": done.stderr.splitlines()[-5:],
    }
    print(json.dumps(document, indent=2))
    if not document["passed"]:
        raise SystemExit(1)


def _workspace(folder: Path) -> Path:
    geometry = Geometry.from_affine((6, 5, 4), np.diag([1.0, 1.0, 2.0, 1.0]))
    workspace = Workspace.create(folder / "study", "fuzz", LabelTable.from_names("organ"), "fuzz")
    array = np.random.default_rng(0).normal(size=geometry.shape).astype(np.float32)
    write_volume(folder / "scans" / "a.nii.gz", Volume(array, geometry))
    add(workspace, folder / "scans")
    suggest(workspace)
    return workspace.root


if __name__ == "__main__":
    main()

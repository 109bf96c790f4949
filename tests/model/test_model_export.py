"""Exports: another program that loads the files gives what the checkpoint gives."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from typer.testing import CliRunner

from plans import small_plan
from voxloop.cli import main
from voxloop.errors import MissingExtraError, UsageError
from voxloop.model.checkpoint import Checkpoint, save_checkpoint
from voxloop.model.export import MODEL_FORMATS, ModelFormat, write_model
from voxloop.model.portable import ONNX_OPSET, import_onnxruntime, import_openvino, portable
from voxloop.model.unet import build_network
from voxloop.plan.plan import Normalisation, Plan
from voxloop.plan.preprocess import prepare_image
from voxloop.volume.geometry import Geometry
from voxloop.volume.volume import Volume
from voxloop.workspace.actions.export_model import export_model

Float32Array = npt.NDArray[np.float32]

CT = Normalisation("fixed", (-1000.0, 500.0), -250.0, 400.0)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small_plan(
        patch_shape=(16, 16, 8),
        stem=(2, 2, 1),
        strides=((2, 2, 1), (2, 2, 2)),
        widths=(8, 12, 16),
        channel_names=("CT", "MR"),
        normalisation=(CT, Normalisation("volume")),
        use_position=True,
    )


@pytest.fixture(scope="module")
def checkpoint(plan: Plan) -> Checkpoint:
    provenance = {"unlearned": [4], "cases": {"patient_7": "0123"}}
    return Checkpoint(plan, build_network(plan, 3).state_dict(), provenance)


@pytest.fixture(scope="module")
def tile(plan: Plan) -> Float32Array:
    shape = (1, plan.input_channels, *plan.patch_shape)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _run_onnx(folder: Path, tile: Float32Array) -> Any:
    session = import_onnxruntime().InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    return session.run(["logits"], {"image": tile})[0]


def _run_openvino(folder: Path, tile: Float32Array) -> Any:
    core = import_openvino().Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return core.compile_model(folder / "model.xml", "CPU", settings)({"image": tile})["logits"]


@pytest.mark.filterwarnings("ignore:.*torch.jit.load:DeprecationWarning")
def _run_torchscript(folder: Path, tile: Float32Array) -> Any:
    network = torch.jit.load(folder / "models" / "model.ts")  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return network(torch.from_numpy(tile)).numpy()


RUNNERS = {"onnx": _run_onnx, "openvino": _run_openvino, "monai-bundle": _run_torchscript}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("form", MODEL_FORMATS)
def test_loaded_back_it_gives_what_the_checkpoint_gives(
    checkpoint: Checkpoint, tile: Float32Array, tmp_path: Path, form: ModelFormat
) -> None:
    files = write_model(checkpoint, tmp_path, form)
    assert all(path.exists() for path in files)
    assert set(files) == {path for path in tmp_path.rglob("*") if path.is_file()}
    with torch.no_grad():
        truth = checkpoint.network(torch.device("cpu"))(torch.from_numpy(tile)).numpy()
    found = RUNNERS[form](tmp_path, tile)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, truth, atol=2e-3)
    assert (found.argmax(1) == truth.argmax(1)).mean() > 0.999
    assert not (found.argmax(1) == 2).any()  # what was not learned is never predicted


@pytest.mark.parametrize("form", MODEL_FORMATS)
def test_what_is_beside_it_says_how_to_use_it(
    checkpoint: Checkpoint, plan: Plan, tmp_path: Path, form: ModelFormat
) -> None:
    write_model(checkpoint, tmp_path, form)
    bundle = form == "monai-bundle"
    document = json.loads(
        (tmp_path / ("configs/voxloop.json" if bundle else "model.json")).read_text()
    )
    assert document["checkpoint_sha256"] == checkpoint.sha256
    assert Plan.from_json(document["plan"]) == plan
    for name, digest in document["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    assert document["input"]["shape"] == [1, 5, 16, 16, 8]
    assert document["input"]["channels"][:3] == ["CT", "MR", "position R"]
    classes = [(c["index"], c["name"], c["value"]) for c in document["output"]["classes"]]
    assert classes == [(0, "background", 0), (1, "body", 1), (2, "core", 4)]
    assert document["output"]["never_predicted"] == [4]
    assert document["position"]["scale_mm"] == 100
    assert document["versions"]["torch"] == torch.__version__
    assert "(clip(x, -1000, 500) - -250) / 400" in document["preparation"][1]


def test_nothing_leaves_about_cases_or_computers(checkpoint: Checkpoint, tmp_path: Path) -> None:
    home = re.compile(rb"/(home|usr|work|tmp|root|opt)/|site-packages|patient_7")
    for form in MODEL_FORMATS:
        for path in write_model(checkpoint, tmp_path / form, form):
            content = path.read_bytes()
            parts = [content]
            if path.suffix == ".ts":
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    parts = [archive.read(name) for name in archive.namelist()]
            assert not any(home.search(part) for part in parts), path


def test_the_onnx_file_is_valid_and_of_the_opset_stated(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    import onnx

    write_model(checkpoint, tmp_path, "onnx")
    model = onnx.load(str(tmp_path / "model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [ONNX_OPSET]
    (shape,) = [entry.type.tensor_type.shape.dim for entry in model.graph.input]
    assert [dim.dim_value for dim in shape] == [1, 5, 16, 16, 8]


def test_the_bundle_says_what_monai_asks_for(
    checkpoint: Checkpoint, plan: Plan, tmp_path: Path
) -> None:
    write_model(checkpoint, tmp_path, "monai-bundle", name="nested")
    metadata = json.loads((tmp_path / "configs" / "metadata.json").read_text())
    required = {
        "version", "monai_version", "pytorch_version", "numpy_version",
        "required_packages_version", "task", "description", "authors", "copyright",
        "network_data_format",
    }  # fmt: skip
    assert required <= metadata.keys()
    assert metadata["name"] == "nested"
    for key in ("version", "monai_version", "pytorch_version", "numpy_version"):
        assert re.fullmatch(r"\d+\.\d+\.\d+", metadata[key]), key
    data = metadata["network_data_format"]
    for entry, channels in ((data["inputs"]["image"], 5), (data["outputs"]["pred"], 3)):
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range",
                "is_patch_data", "channel_def"} <= entry.keys()  # fmt: skip
        assert entry["num_channels"] == channels == len(entry["channel_def"])
        assert entry["spatial_shape"] == list(plan.patch_shape)
    inference = json.loads((tmp_path / "configs" / "inference.json").read_text())
    assert {"bundle_root", "device", "dataset_dir", "dataset", "evaluator", "network_def",
            "inferer"} <= inference.keys()  # fmt: skip
    assert "Apache License" in (tmp_path / "LICENSE").read_text()
    assert "4: core" in (tmp_path / "docs" / "README.md").read_text()


@pytest.mark.parametrize("masked", [False, True])
def test_the_bundle_prepares_intensities_as_the_plan_does(
    checkpoint: Checkpoint, plan: Plan, tmp_path: Path, *, masked: bool
) -> None:
    write_model(checkpoint, tmp_path, "monai-bundle")
    inference = json.loads((tmp_path / "configs" / "inference.json").read_text())
    steps = inference["preprocessing"]["transforms"]
    normalise, position = (s["func"] for s in steps if s["_target_"] == "Lambdad")
    assert [s["_target_"] for s in steps].index("Lambdad") < [s["_target_"] for s in steps].index(
        "Orientationd"
    )
    rng = np.random.default_rng(2)
    values = rng.normal(size=(2, 18, 17, 12)).astype(np.float32) * 300
    if masked:
        values[:, :6] = -2000
    geometry = Geometry.from_affine(values.shape[1:], np.diag([1.0, 1.0, 2.0, 1.0]))
    wanted = prepare_image(tuple(Volume(v, geometry) for v in values), plan).array
    known = {"torch": torch, "numpy": np}
    found = eval(normalise.removeprefix("$"), known)(torch.from_numpy(values))  # noqa: S307
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-5)
    placed = eval(position.removeprefix("$"), known)(found)  # noqa: S307
    assert placed.shape == (5, 18, 17, 12)
    np.testing.assert_allclose(placed[2, :, 0, 0], (np.arange(18) - 8.5) * 0.01, atol=1e-6)
    np.testing.assert_allclose(placed[4, 0, 0, :], (np.arange(12) - 5.5) * 0.02, atol=1e-6)


def test_a_copy_for_export_leaves_the_network_alone(checkpoint: Checkpoint) -> None:
    network = checkpoint.network(torch.device("cpu"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    twin = portable(network)
    x = torch.randn(2, 5, 16, 16, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(twin(x), network(x), atol=1e-4, rtol=1e-4)
    assert network.state_dict().keys() == before.keys() == twin.state_dict().keys()
    assert {type(m).__name__ for m in network.modules()} & {"SampleNorm", "ChannelsLast"}


def test_a_missing_package_is_named_with_its_extra(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, form in (("onnx", "onnx"), ("openvino", "openvino")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=rf"'{package}'.*voxloop\[infer\]"):
            write_model(checkpoint, tmp_path, form)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_model_without_a_workspace(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "model.safetensors", checkpoint)
    out = tmp_path / "out"
    words = ["export", str(out), "--model", str(tmp_path / "model.safetensors"), "--json"]
    done = CliRunner().invoke(main.app, [*words, "--format", "openvino"])
    assert {path.name for path in out.iterdir()} == {"model.xml", "model.bin", "model.json"}
    document = json.loads(done.stdout)
    assert document["labels"] == {"body": 1, "core": 4}
    assert document["model_sha256"] == checkpoint.sha256
    with pytest.raises(UsageError, match="is not empty; choose a new folder"):
        export_model(tmp_path / "model.safetensors", out, "onnx")
    assert main.execute(words) == 2

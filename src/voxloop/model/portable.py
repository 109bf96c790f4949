"""The network in forms that other programs run: TorchScript, ONNX, OpenVINO."""

from __future__ import annotations

import contextlib
import copy
import io
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from voxloop.compute.extras import require
from voxloop.model.blocks import ChannelsLast, SampleNorm
from voxloop.model.unet import UNet

__all__ = [
    "INPUT_NAME",
    "ONNX_OPSET",
    "OUTPUT_NAME",
    "as_onnx",
    "as_openvino",
    "as_torchscript",
    "import_onnxruntime",
    "import_openvino",
    "portable",
]

INPUT_NAME = "image"
OUTPUT_NAME = "logits"

ONNX_OPSET = 17
"""Of 2022: read by every ONNX Runtime, OpenVINO and TensorRT in use."""

Triple = tuple[int, int, int]

_TELEMETRY = "openvino_telemetry"


class _InstanceNorm(nn.Module):
    """What `SampleNorm` computes, as the one operator by which other programs know it."""

    def __init__(self, source: SampleNorm) -> None:
        super().__init__()
        self.weight, self.bias = source.weight, source.bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, I, J, K) per sample and channel."""
        if x.shape[2:].numel() == 1:
            return x * self.weight.view(1, -1, 1, 1, 1) + self.bias.view(1, -1, 1, 1, 1)
        return torch.instance_norm(
            x, self.weight, self.bias, None, None, True, 0.0, 1e-5, False  # noqa: FBT003
        )  # fmt: skip


def portable(network: UNet, *, folded: bool = False) -> nn.Module:
    """A copy that computes the same with operators that every exporter knows.

    Normalisation becomes instance normalisation: a single operator in ONNX and OpenVINO, where
    the form that is fastest in PyTorch becomes a dozen, and a third slower.

    Args:
        network: to copy.
        folded: leave the logits (N, classes * F, i, j, k) in blocks of F voxels: putting a hundred
            classes' voxels side by side takes longer than the network.
    """
    twin: nn.Module = copy.deepcopy(network).cpu().float().eval()
    for module in list(twin.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SampleNorm):
                setattr(module, name, _InstanceNorm(child))
            elif isinstance(child, ChannelsLast):
                setattr(module, name, nn.Identity())  # others choose the layout themselves
    if folded:
        twin.unfold = nn.Identity()
    return twin.requires_grad_(requires_grad=False)


def as_torchscript(
    network: UNet, channels: int, patch_shape: Triple, *, folded: bool = False
) -> Any:
    """The network as TorchScript, traced at one patch (1, channels, *patch_shape)."""
    example = torch.zeros((1, channels, *patch_shape))
    with _quietly(), torch.inference_mode(mode=False), torch.no_grad():
        traced: Any = torch.jit.trace(portable(network, folded=folded), example, check_trace=False)  # type: ignore[no-untyped-call]
    return traced


def as_onnx(network: UNet, channels: int, patch_shape: Triple, *, folded: bool = False) -> bytes:
    """The network as an ONNX model of a fixed input (1, channels, *patch_shape).

    Raises:
        MissingExtraError: if the package `onnx` is not installed.
    """
    require("onnx", feature="an ONNX model", extra="infer")
    buffer = io.BytesIO()
    with _quietly(), torch.inference_mode(mode=False), torch.no_grad():
        torch.onnx.export(
            portable(network, folded=folded),
            (torch.zeros((1, channels, *patch_shape)),),
            buffer,  # type: ignore[arg-type] # a file in memory will do
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            opset_version=ONNX_OPSET,
            dynamo=False,  # the newer exporter needs one more package and gains nothing here
        )
    return buffer.getvalue()


def as_openvino(network: UNet, channels: int, patch_shape: Triple, *, folded: bool = False) -> Any:
    """The network as an `openvino.Model` of a fixed input (1, channels, *patch_shape).

    Raises:
        MissingExtraError: if the package `openvino` is not installed.
    """
    openvino = import_openvino()
    shape = (1, channels, *patch_shape)
    with _quietly(), _without_telemetry():
        script = as_torchscript(network, channels, patch_shape, folded=folded)
        model = openvino.convert_model(script, example_input=torch.zeros(shape), input=list(shape))
    model.inputs[0].set_names({INPUT_NAME})
    model.outputs[0].set_names({OUTPUT_NAME})
    return model


def import_openvino() -> ModuleType:
    """The package `openvino`, kept from sending anything.

    On import it reports its use to its maker over the network, unless the package that does so
    cannot be found. A hospital's computer must not call anyone.

    Raises:
        MissingExtraError: if it is not installed.
    """
    with _without_telemetry():
        return require("openvino", feature="inference with OpenVINO", extra="infer")


def import_onnxruntime() -> ModuleType:
    """The package `onnxruntime`, kept from sending anything.

    Raises:
        MissingExtraError: if it is not installed.
    """
    module = require("onnxruntime", feature="inference with ONNX Runtime", extra="infer")
    module.disable_telemetry_events()
    return module


@contextlib.contextmanager
def _without_telemetry() -> Iterator[None]:
    absent = object()
    before: Any = sys.modules.get(_TELEMETRY, absent)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment] # Python's sign for "not there"
    try:
        yield
    finally:
        if before is absent:
            del sys.modules[_TELEMETRY]
        else:
            sys.modules[_TELEMETRY] = before


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Tracing warns of branches on shapes, which are fixed here, and that it is no longer new."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        # instance normalisation always takes the sample's own statistics
        warnings.filterwarnings("ignore", "ONNX export mode is set to TrainingMode.EVAL")
        yield

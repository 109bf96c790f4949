"""Training steps of peers, and the operations that bound a machine, ready to be timed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as hooks

from voxloop.model.blocks import FoldSpace, UnfoldSpace
from voxloop.model.unet import build_network
from voxloop.plan.plan import Plan
from voxloop.train.losses import marginal_loss
from voxloop.train.patches import PatchSource
from voxloop.volume.labels import IGNORE

__all__ = ["Contender", "contenders_for", "nnunet_topology"]

MATRIX = 4096
CONVOLUTIONS = ((256, 16), (128, 24), (64, 32), (32, 48))
"""Channels and edge of the maps whose 3x3x3 convolution may be the machine's fastest."""


@dataclass(frozen=True)
class Contender:
    """Something that takes its turn between two steps of Voxloop.

    Attributes:
        run: does it once.
        operations: of its convolutions or matrix product; 0 where they are not the point.
    """

    run: Callable[[], object]
    operations: float = 0.0


def contenders_for(plan: Plan, source: PatchSource) -> dict[str, Contender]:
    """Everything to be timed beside Voxloop's training loop."""
    batch = source.batch(0)
    target = torch.where(batch.classes == IGNORE, 0, batch.classes)[:, None].long()
    own = build_network(plan)
    contenders: dict[str, Contender] = {
        "voxloop network in fp32": a_step(
            own,
            batch.image,
            lambda logits: marginal_loss(logits, batch.classes, batch.asked, source.merged),
            torch.optim.AdamW(own.parameters()),
        ),
        "nnunet": nnunet_step(plan, batch.image, target),
        "nnunet augmentation": nnunet_augmentation(plan),
        "monai fp32": monai_step(plan, batch.image, target),
        "monai bf16": monai_step(plan, batch.image, target, mixed=True),
    }
    for dtype in (torch.float32, torch.bfloat16):
        contenders |= peak_probes(dtype)
    return contenders


def a_step(
    network: nn.Module,
    image: Tensor,
    loss: Callable[[Any], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    mixed: bool = False,
) -> Contender:
    """A training step on a batch that lies ready, gradients clipped as nnU-Net and Voxloop do."""

    def step() -> None:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            output = network(image)
        loss(output).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimizer.step()

    return Contender(step, step_operations(network, image))


def nnunet_topology(plan: Plan) -> tuple[list[Any], list[Any], tuple[int, ...]]:
    """Strides, kernels and patch that nnU-Net's default planner derives."""
    from nnunetv2.experiment_planning.experiment_planners import network_topology

    _, strides, kernels, padded, _ = network_topology.get_pool_and_conv_props(
        plan.spacing_mm, plan.patch_shape, 4, 999999
    )
    return list(strides), list(kernels), tuple(int(n) for n in padded)


def nnunet_step(plan: Plan, image: Tensor, target: Tensor) -> Contender:
    """nnU-Net's step: its own network, deep supervision, Dice and cross entropy, SGD."""
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    strides, kernels, padded = nnunet_topology(plan)
    image, target = padded_to(image, padded), padded_to(target, padded)
    levels = len(strides)
    arguments = {
        "n_stages": levels,
        "features_per_stage": [min(320, 32 * 2**level) for level in range(levels)],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": kernels,
        "strides": strides,
        "n_conv_per_stage": [2] * levels,
        "n_conv_per_stage_decoder": [2] * (levels - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    network = get_network_from_plans(
        "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        arguments,
        ["conv_op", "norm_op", "dropout_op", "nonlin"],
        image.shape[1],
        len(plan.labels) + 1,
        deep_supervision=True,
    )
    weights = np.array([0.5**level for level in range(levels - 1)])
    weights[-1] = 0
    each = DC_and_CE_loss(
        {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False},
        {},
        dice_class=MemoryEfficientSoftDiceLoss,
    )
    loss = DeepSupervisionWrapper(each, weights / weights.sum())
    scales = np.cumprod(np.array(strides), axis=0)[:-1]
    targets = [target[:, :, :: s[0], :: s[1], :: s[2]].float() for s in scales.tolist()]
    optimizer = torch.optim.SGD(
        network.parameters(), 1e-2, weight_decay=3e-5, momentum=0.99, nesterov=True
    )
    return a_step(network, image, lambda outputs: loss(outputs, targets), optimizer)


def nnunet_augmentation(plan: Plan) -> Contender:
    """nnU-Net's default augmentation of a batch, on one thread as in one of its workers."""
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    strides, _, padded = nnunet_topology(plan)
    turn = (-math.pi / 6, math.pi / 6)
    larger = [int(n) for n in get_patch_size(padded, turn, turn, turn, (0.85, 1.25))]
    scales = (1 / np.cumprod(np.array(strides), axis=0))[:-1].tolist()
    transforms = nnUNetTrainer.get_training_transforms(
        padded, turn, scales, (0, 1, 2), do_dummy_2d_data_aug=False
    )
    image = torch.randn(len(plan.channel_names), *larger)
    labels = torch.randint(0, len(plan.labels) + 1, (1, *larger), dtype=torch.int16)

    def step() -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for _ in range(plan.batch_size):
            transforms(image=image.clone(), segmentation=labels.clone())
        torch.set_num_threads(threads)

    return Contender(step)


def monai_step(plan: Plan, image: Tensor, target: Tensor, *, mixed: bool = False) -> Contender:
    """MONAI's DynUNet with the plan's widths and strides, DiceCELoss and Adam."""
    from monai.losses import DiceCELoss
    from monai.networks.nets import DynUNet

    fold = math.prod(plan.stem)
    classes = len(plan.labels) + 1
    network = nn.Sequential(
        FoldSpace(plan.stem),
        DynUNet(
            spatial_dims=3,
            in_channels=image.shape[1] * fold,
            out_channels=classes * fold,
            kernel_size=[3] * len(plan.widths),
            strides=[1, *plan.strides],
            upsample_kernel_size=list(plan.strides),
            filters=list(plan.widths),
        ),
        UnfoldSpace(plan.stem),
    )
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    return a_step(
        network, image, lambda logits: loss(logits.float(), target), optimizer, mixed=mixed
    )


def padded_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Fill up with zeros behind the end of each axis."""
    missing = [(0, n - have) for n, have in zip(shape, x.shape[2:], strict=True)]
    return functional.pad(x, list(itertools.chain(*reversed(missing))))


def peak_probes(dtype: torch.dtype) -> dict[str, Contender]:
    """A matrix product, and convolutions of a few shapes, channels last."""
    name = str(dtype).removeprefix("torch.")
    one, other = torch.randn(2, MATRIX, MATRIX).to(dtype)
    probes = {f"{name} matrix": Contender(partial(torch.mm, one, other), 2.0 * MATRIX**3)}
    for channels, edge in CONVOLUTIONS:
        maps = torch.randn(1, channels, edge, edge, edge).to(dtype)
        kernel = torch.randn(channels, channels, 3, 3, 3).to(dtype)
        run = partial(
            functional.conv3d,
            maps.contiguous(memory_format=torch.channels_last_3d),
            kernel.contiguous(memory_format=torch.channels_last_3d),
            padding=1,
        )
        operations = 2.0 * 27 * channels**2 * edge**3
        probes[f"{name} convolution {channels} x {edge}^3"] = Contender(run, operations)
    return probes


def step_operations(network: nn.Module, image: Tensor) -> float:
    """Operations of a training step's convolutions, forward and backward."""
    total = 0.0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if not isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            return
        inner = output if isinstance(layer, nn.Conv3d) else inputs[0]
        positions = inner.numel() // inner.shape[1]
        passes = 3 if inputs[0].requires_grad else 2
        total += 2.0 * passes * positions * layer.weight.numel()

    handle = hooks.register_module_forward_hook(count)
    try:
        network.train()(image)
    finally:
        handle.remove()
    return total

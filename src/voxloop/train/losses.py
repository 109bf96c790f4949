"""What the network is asked to minimise: only annotated voxels count, only labels asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from voxloop.volume.labels import BACKGROUND, IGNORE

__all__ = ["marginal_loss", "merge_table"]

_SMOOTH = 1e-5

_LEAST = 1e-30
"""Probabilities below this are taken for it under a logarithm."""

_BALANCE = 0.5
"""0: voxels of all labels count alike in the cross entropy; 1: all labels do."""

_SPARSE = 0.3
"""Share of annotated voxels below which gathering them costs less than computing on all."""


def merge_table(asked_sets: tuple[frozenset[int], ...], values: tuple[int, ...]) -> Tensor:
    """For each set of labels asked for, which classes count as background there.

    Args:
        asked_sets: distinct sets of label values.
        values: the label table's values; class c > 0 stands for `values[c - 1]`.

    Returns:
        (S, C) of bool: the background itself, and the labels that were not asked for there but
        were somewhere.
    """
    # a label that nobody ever asked for is not there: merged, it would take the background's place
    somewhere = frozenset[int]().union(*asked_sets)
    rows = [[True, *(v in somewhere and v not in asked for v in values)] for asked in asked_sets]
    return torch.tensor(rows, dtype=torch.bool)


def marginal_loss(logits: Tensor, classes: Tensor, asked: Tensor, merged: Tensor) -> Tensor:
    """Cross entropy plus soft Dice over annotated voxels, labels not asked for marginalised.

    Where a label was not asked for, "none of those asked for" may be that label as well as
    background: its probability is added to the background's before the comparison (marginal
    loss, Shi et al. 2021, Medical Image Analysis 70, 101979). The Dice of a class counts the
    voxels where it was asked for, over the whole batch.

    Args:
        logits: (N, C, I, J, K), any float type; computed in float32 at least.
        classes: (N, I, J, K) uint8 class indices; `IGNORE` where nobody looked.
        asked: (N, I, J, K) uint8 row of `merged` valid at each voxel.
        merged: (S, C) bool, from `merge_table`.

    Returns:
        A scalar; 0 if no voxel of the batch is annotated.
    """
    looked = classes != IGNORE
    count = int(looked.sum())
    if count == 0:
        return logits.sum() * 0.0
    if count < _SPARSE * looked.numel():
        # with few labelled slices nearly all voxels count for nothing: leave them out at once
        logits = logits.movedim(1, -1)[looked].T[None]  # (1, C, V)
        classes, asked, looked = classes[looked][None], asked[looked][None], looked[looked][None]
    truth = torch.where(looked, classes, BACKGROUND).flatten(1).long()
    asked, looked = asked.flatten(1), looked.flatten(1)
    known = _Known(truth, asked, looked, merged, torch.unique(asked[looked]).tolist())
    loss: Tensor = _MarginalLoss.apply(logits.flatten(2), known)  # type: ignore[no-untyped-call]
    return loss


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known of the voxels.

    Attributes:
        truth: (N, V) class index, background where nobody looked.
        asked: (N, V) row of `merged`.
        looked: (N, V) bool.
        merged: (S, C) bool.
        rows: of `merged` that occur where somebody looked.
    """

    truth: Tensor
    asked: Tensor
    looked: Tensor
    merged: Tensor
    rows: list[int]

    def where(self, row: int) -> Tensor:
        """Voxels (N, V) that were looked at with this set of labels in mind."""
        return self.looked & (self.asked == row)

    def either(self, row: int) -> Tensor | None:
        """Voxels (N, V) whose truth may be any of the row's merged classes; None if just one."""
        if self.merged[row].sum() == 1:
            return None
        return self.where(row) & (self.truth == BACKGROUND)


class _MarginalLoss(torch.autograd.Function):
    """The loss and its gradient written out: a third of the time and memory of derived ones.

    With p = softmax(z), a loss with dL/dp = g has dL/dz = p (g - <p, g>). Both terms touch few
    classes of a voxel, so that everything but the softmax is one or two passes over p (N, C, V).
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, known: _Known) -> Tensor:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        p = torch.softmax(logits, dim=1, dtype=dtype)
        p_label = p.gather(1, known.truth[:, None])[:, 0]
        p_true = p_label
        for row in known.rows:
            if (either := known.either(row)) is not None:
                p_true = torch.where(either, p[:, known.merged[row]].sum(1), p_true)
        weight = _weights(known, p.shape[1]).to(dtype)
        entropy = -(p_true.clamp_min(_LEAST).log() * weight).sum()
        dice, by_overlap, by_size = _soft_dice(p, p_label, known)
        ctx.save_for_backward(p, p_label, p_true, weight, by_overlap, by_size)
        ctx.known, ctx.dtype = known, logits.dtype
        return entropy + dice

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        p, p_label, p_true, weight, by_overlap, by_size = ctx.saved_tensors
        known: _Known = ctx.known
        at_truth = by_overlap[known.truth] * p_label * known.looked
        to_label = weight
        gradient = torch.zeros_like(p)
        for row in known.rows:
            where, merged = known.where(row), known.merged[row]
            sizes = torch.where(merged, 0.0, by_size).to(p.dtype)
            common = weight - at_truth - torch.einsum("ncv,c->nv", p, sizes)
            pull = (common[:, None] + sizes[:, None]).mul_(p)
            if (either := known.either(row)) is not None:
                share = torch.where(either, weight / p_true.clamp_min(_LEAST), 0.0)
                pull -= p * share[:, None] * merged.to(p.dtype)[:, None]
                to_label = torch.where(either, 0.0, to_label)
            if bool(where.all()):
                gradient = pull
            else:
                gradient += pull.mul_(where[:, None])
        gradient.scatter_add_(1, known.truth[:, None], (at_truth - to_label)[:, None])
        return gradient.mul_(upstream[0]).to(ctx.dtype), None


def _weights(known: _Known, classes: int) -> Tensor:
    """How much each voxel counts (N, V), summing to 1.

    Rare labels are raised at the expense of common ones: by voxels alone, a structure of a
    thousandth of the patch would hardly be heard before the others are learned. All labels
    together keep their weight against the background; raised above it they would grow beyond
    their borders.
    """
    found = torch.bincount(known.truth[known.looked], minlength=classes).double()
    raised = found.clamp_min(1) ** -_BALANCE
    raised[BACKGROUND] = 0
    raised *= found[BACKGROUND + 1 :].sum() / (raised * found).sum().clamp_min(_LEAST)
    raised[BACKGROUND] = 1
    each = raised[known.truth] * known.looked
    return each / each.sum()


def _soft_dice(p: Tensor, p_label: Tensor, known: _Known) -> tuple[Tensor, Tensor, Tensor]:
    """One minus the mean Dice of the labels present, each over the voxels it was asked for at.

    Returns:
        The loss, and its derivatives (C) by the overlap and by the predicted size of each class.
    """
    classes = p.shape[1]
    overlap = p.new_zeros(classes).index_add_(0, known.truth.flatten(), p_label.flatten())
    reference = torch.bincount(known.truth.flatten(), minlength=classes).to(p.dtype)
    predicted = p.new_zeros(classes)
    for row in known.rows:
        sizes = torch.einsum("ncv,nv->c", p, known.where(row).to(p.dtype))
        predicted += sizes * ~known.merged[row]
    present = reference > 0
    present[BACKGROUND] = False
    if not present.any():
        none = p.new_zeros(classes)
        return p.new_zeros(()), none, none
    total = predicted + reference + _SMOOTH
    dice = (2 * overlap + _SMOOTH) / total
    weight = present.to(p.dtype) / present.sum()
    return 1 - (dice * weight).sum(), -2 * weight / total, weight * dice / total

"""What the network is asked to minimise: only annotated voxels count, only labels asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from voxloop.volume.labels import BACKGROUND, IGNORE

__all__ = ["marginal_loss", "merge_table"]

_SMOOTH = 1e-5

_SPARSE = 0.3
"""Share of annotated voxels below which gathering them costs less than computing on all."""


def merge_table(asked_sets: tuple[frozenset[int], ...], values: tuple[int, ...]) -> Tensor:
    """For each set of labels asked for, which classes count as background there.

    Args:
        asked_sets: distinct sets of label values.
        values: the label table's values; class c > 0 stands for `values[c - 1]`.

    Returns:
        (S, C) of bool: the background itself, and the labels that were not asked for.
    """
    rows = [[True, *(value not in asked for value in values)] for asked in asked_sets]
    return torch.tensor(rows, dtype=torch.bool)


def marginal_loss(logits: Tensor, classes: Tensor, asked: Tensor, merged: Tensor) -> Tensor:
    """Cross entropy plus soft Dice over annotated voxels, labels not asked for marginalised.

    Where a label was not asked for, "none of those asked for" may be that label as well as
    background: its probability is added to the background's before the comparison (marginal
    loss, Shi et al. 2021, Medical Image Analysis 70, 101979). The Dice of a class counts the
    voxels where it was asked for, over the whole batch.

    Args:
        logits: (N, C, I, J, K), any float type; computed in float32.
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
    log_p = torch.log_softmax(logits.float().flatten(2), dim=1)  # (N, C, V)
    looked, asked = looked.flatten(1), asked.flatten(1).long()
    truth = torch.where(looked, classes.flatten(1), BACKGROUND).long()
    log_label = log_p.gather(1, truth[:, None])[:, 0]
    present = torch.unique(asked[looked]).tolist()
    log_true = torch.where(
        truth == BACKGROUND, _log_background(log_p, asked, merged, present), log_label
    )
    entropy = -(log_true * looked).sum() / count
    where_asked = {row: looked & (asked == row) for row in present}
    return entropy + _soft_dice_loss(log_p, log_label, truth, where_asked, merged)


def _log_background(log_p: Tensor, asked: Tensor, merged: Tensor, present: list[int]) -> Tensor:
    """Log probability (N, V) of the background and whatever was not asked for at each voxel."""
    found = log_p[:, BACKGROUND]
    for row in present:
        if merged[row].sum() > 1:
            either = torch.logsumexp(log_p[:, merged[row]], dim=1)
            found = torch.where(asked == row, either, found)
    return found


def _soft_dice_loss(
    log_p: Tensor,
    log_label: Tensor,
    truth: Tensor,
    where_asked: dict[int, Tensor],
    merged: Tensor,
) -> Tensor:
    """One minus the mean Dice of the labels present, each over the voxels it was asked for at."""
    classes = log_p.shape[1]
    overlap = log_p.new_zeros(classes).index_add(0, truth.flatten(), log_label.exp().flatten())
    reference = torch.bincount(truth.flatten(), minlength=classes).float()
    probabilities, predicted = log_p.exp(), log_p.new_zeros(classes)
    for row, where in where_asked.items():
        sums = torch.einsum("ncv,nv->c", probabilities, where.float())
        predicted = predicted + sums * ~merged[row]
    present = reference > 0
    present[BACKGROUND] = False
    if not present.any():
        return log_p.sum() * 0.0
    dice = (2 * overlap + _SMOOTH) / (predicted + reference + _SMOOTH)
    return 1 - dice[present].mean()

"""What the network is asked to minimise: only annotated voxels count, only labels asked for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from voxloop.volume.labels import BACKGROUND, IGNORE

__all__ = ["marginal_loss", "merge_table"]

_SMOOTH = 1e-5


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
    if not looked.any():
        return logits.sum() * 0.0
    # only annotated voxels are kept: with few labelled slices that is a small part of the batch
    chosen = logits.movedim(1, -1)[looked].float()  # (V, C)
    truth = classes[looked].long()  # (V,)
    table = merged[asked[looked].long()]  # (V, C)
    log_all = torch.logsumexp(chosen, dim=1)
    log_background = torch.logsumexp(chosen.masked_fill(~table, -torch.inf), dim=1)
    log_label = chosen.gather(1, truth[:, None])[:, 0]
    log_true = torch.where(truth == BACKGROUND, log_background, log_label)
    entropy = (log_all - log_true).mean()
    return entropy + _soft_dice_loss(chosen, truth, table)


def _soft_dice_loss(chosen: Tensor, truth: Tensor, table: Tensor) -> Tensor:
    counted = (~table[:, 1:]).float()  # (V, C-1): where each label was asked for
    probabilities = torch.softmax(chosen, dim=1)[:, 1:] * counted
    reference = functional.one_hot(truth, chosen.shape[1])[:, 1:].float() * counted
    overlap = (probabilities * reference).sum(0)
    total = probabilities.sum(0) + reference.sum(0)
    present = reference.sum(0) > 0
    if not present.any():
        return chosen.sum() * 0.0
    dice = (2 * overlap + _SMOOTH) / (total + _SMOOTH)
    return 1 - dice[present].mean()

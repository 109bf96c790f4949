"""The loss against a second implementation, written voxel by voxel in double precision."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from voxloop.train.losses import marginal_loss, merge_table
from voxloop.volume.labels import IGNORE

VALUES = (1, 4, 7)
SETS = (frozenset[int](), frozenset({1, 4, 7}), frozenset({4}), frozenset({1, 7}))
MERGED = merge_table(SETS, VALUES)
SHAPE = (3, 4, 2)


def _batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, classes and asked sets; a label appears only where it was asked for."""
    rng = np.random.default_rng(seed)
    asked = rng.integers(1, len(SETS), (2, *SHAPE)).astype(np.uint8)
    classes = rng.integers(0, 4, asked.shape)
    for index, row in enumerate(SETS):
        for number, value in enumerate(VALUES, start=1):
            if value not in row:
                classes[(asked == index) & (classes == number)] = 0
    classes[rng.random(asked.shape) < rng.choice([0.0, 0.5, 0.95])] = IGNORE
    logits = torch.from_numpy(rng.normal(0, 3, (2, 4, *SHAPE)).astype(np.float32))
    return logits, torch.from_numpy(classes.astype(np.uint8)), torch.from_numpy(asked)


def _class_weights(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Labels by the root of their rarity, together as heavy as unweighted; background 1."""
    weights = np.array([1, *(1 / math.sqrt(n) if n else 0 for n in counts[1:])])
    mass = (weights * counts)[1:].sum()
    weights[1:] *= counts[1:].sum() / mass if mass else 1
    return weights


def _by_hand(logits: Tensor, classes: Tensor, asked: Tensor) -> float:
    """The definition: balanced cross entropy of merged classes, one Dice per label asked for."""
    entropies, truths = [], []
    overlap, total, reference = np.zeros(4), np.zeros(4), np.zeros(4)
    for n, i, j, k in np.ndindex(2, *SHAPE):
        truth = int(classes[n, i, j, k])
        if truth == IGNORE:
            continue
        z: npt.NDArray[np.float64] = logits[n, :, i, j, k].double().numpy()
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        wanted = SETS[int(asked[n, i, j, k])]
        background = p[0] + sum(p[c] for c, v in enumerate(VALUES, 1) if v not in wanted)
        entropies.append(-math.log(background if truth == 0 else p[truth]))
        truths.append(truth)
        for c, value in enumerate(VALUES, 1):
            if value in wanted:
                overlap[c] += p[c] * (truth == c)
                total[c] += p[c] + (truth == c)
                reference[c] += truth == c
    if not entropies:
        return 0.0
    dice = [(2 * overlap[c] + 1e-5) / (total[c] + 1e-5) for c in range(4) if reference[c]]
    weights = _class_weights(np.bincount(truths, minlength=4))[truths]
    entropy = np.average(entropies, weights=weights)
    return float(entropy + (1 - np.mean(dice) if dice else 0.0))


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_the_loss_is_what_its_definition_says(seed: int) -> None:
    logits, classes, asked = _batch(seed)
    found = float(marginal_loss(logits, classes, asked, MERGED))
    assert found == pytest.approx(_by_hand(logits, classes, asked), rel=1e-4, abs=1e-5)


def test_half_precision_logits_give_nearly_the_same_loss() -> None:
    logits, classes, asked = _batch(3)
    exact = marginal_loss(logits, classes, asked, MERGED)
    rounded = marginal_loss(logits.bfloat16(), classes, asked, MERGED)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_voxels_nobody_looked_at_have_no_gradient(seed: int) -> None:
    logits, classes, asked = _batch(seed)
    logits.requires_grad_()
    marginal_loss(logits, classes, asked, MERGED).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    pulled = logits.grad.abs().sum(1) > 0
    assert not pulled[classes == IGNORE].any()
    assert torch.isfinite(logits.grad).all()
    assert pulled[classes != IGNORE].any() or (classes == IGNORE).all()


def test_a_label_that_was_not_asked_for_is_not_pushed_towards_background() -> None:
    logits = torch.tensor([0.3, 1.0, 2.0, -1.0]).view(1, 4, 1, 1, 1).requires_grad_()
    nothing_found = torch.zeros(1, 1, 1, 1, dtype=torch.uint8)
    only_4 = torch.full_like(nothing_found, 2)
    marginal_loss(logits, nothing_found, only_4, MERGED).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    background, first, asked_for, third = logits.grad.ravel().tolist()
    assert asked_for > 0
    assert max(background, first, third) < 0
    # gradients of the merged classes are shared out by probability: none is preferred
    shares = torch.softmax(logits.detach().ravel()[[0, 1, 3]], 0)
    torch.testing.assert_close(
        torch.tensor([background, first, third]) / (background + first + third), shares
    )


def test_where_everything_counts_as_background_there_is_nothing_to_learn() -> None:
    logits = torch.randn(1, 4, 2, 2, 2, requires_grad=True)
    classes = torch.zeros(1, 2, 2, 2, dtype=torch.uint8)
    loss = marginal_loss(logits, classes, torch.zeros_like(classes), MERGED)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6


def test_a_batch_nobody_looked_at_costs_nothing() -> None:
    logits = torch.randn(1, 4, 2, 2, 2, requires_grad=True)
    classes = torch.full((1, 2, 2, 2), IGNORE, dtype=torch.uint8)
    loss = marginal_loss(logits, classes, torch.zeros_like(classes), MERGED)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_merge_table_names_the_background_and_what_was_not_asked_for() -> None:
    assert MERGED.tolist() == [
        [True, True, True, True],
        [True, False, False, False],
        [True, True, False, True],
        [True, False, True, False],
    ]


def test_the_written_out_gradient_is_the_derivative() -> None:
    for seed in range(6):
        logits, classes, asked = _batch(seed)
        exact = logits.double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda z, c=classes, a=asked: marginal_loss(z, c, a, MERGED), (exact,)
        )

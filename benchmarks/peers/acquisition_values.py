"""Voxloop's acquisition values beside those of scikit-activeml and baal, on random members.

Each value is computed by all three from the same probabilities, in double precision; the largest
difference is printed as JSON. The peers list samples, Voxloop scores voxels: a voxel is a sample.
Where a peer has no function of the name, the one that must give the same is used, and named.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import baal.active.heuristics as baal  # type: ignore[import-not-found]
import numpy as np
import numpy.typing as npt
import skactiveml.pool as skactiveml  # type: ignore[import-not-found]

from voxloop.active.doubt.acquisition import (
    Acquisition,
    Members,
    expected_entropy,
    least_confidence,
    margin,
    mutual_information,
    predictive_entropy,
    variance,
    vote_entropy,
)

SHAPE = (12, 11, 10)
SPACING_MM = (1.0, 1.0, 1.0)
SIZES = ((1, 2), (2, 2), (3, 4), (5, 9), (10, 25))
"""Members and classes."""

CONCENTRATIONS = (0.05, 0.5, 5.0)
"""Of the Dirichlet distributions: nearly certain, mixed, nearly even."""

Values = npt.NDArray[np.floating[Any]]
Peer = Callable[[Values], Values]
"""Of samples (M, N, C), a value for each of N."""


def main() -> None:
    """Compare every function with every peer that has it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    rng = np.random.default_rng(parser.parse_args().seed)
    batches = [
        random_members(rng, members, classes, concentration)
        for members, classes in SIZES
        for concentration in CONCENTRATIONS
    ]
    document = {
        "benchmark": "acquisition values against scikit-activeml and baal",
        "values_compared": sum(int(np.prod(SHAPE)) for _ in batches),
        "members_and_classes": SIZES,
        "largest_difference": {
            acquisition.__name__: {
                f"{package}: {name}": largest_difference(batches, acquisition, peer)
                for package, name, peer in peers
            }
            for acquisition, peers in PEERS.items()
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("scikit-activeml", "baal", "numpy", "scipy")},
        },
    }
    print(json.dumps(document, indent=1))


def random_members(
    rng: np.random.Generator, members: int, classes: int, concentration: float
) -> Members:
    """Members (M, C, I, J, K) that lean towards what they share."""
    shared = rng.dirichlet(np.full(classes, concentration), size=SHAPE)
    own = rng.dirichlet(np.full(classes, concentration), size=(members, *SHAPE))
    return np.asarray(np.moveaxis((shared + own) / 2, -1, 1))


def largest_difference(batches: list[Members], acquisition: Acquisition, peer: Peer) -> float:
    """Over all voxels of all batches."""
    differences = []
    for members in batches:
        samples = np.moveaxis(members, 1, -1).reshape(len(members), -1, members.shape[1])
        ours = acquisition(members, SPACING_MM).reshape(-1)
        differences.append(np.abs(ours - peer(samples.copy())).max())
    return float(max(differences))


def of_baal(heuristic: Any) -> Peer:
    """Baal wants samples first and members last, (N, C, M)."""
    return lambda samples: np.asarray(heuristic.compute_score(samples.transpose(1, 2, 0)))


def votes(samples: Values) -> Values:
    """Each member's probabilities as a certain vote for its most likely class."""
    return np.asarray(np.eye(samples.shape[-1])[samples.argmax(axis=-1)])


def over_members(of_one: Peer) -> Peer:
    """The mean of a value of single members, each given alone."""
    return lambda samples: np.mean([of_one(member[None]) for member in samples], axis=0)


def of_scores(method: str) -> Peer:
    """A value of scikit-activeml for the mean of the members."""
    return lambda samples: np.asarray(
        skactiveml.uncertainty_scores(samples.mean(axis=0), method=method)
    )


def split_votes(samples: Values) -> Values:
    """Vote entropy of scikit-activeml, which takes votes (N, M) by number."""
    numbers = samples.argmax(axis=-1).T
    return np.asarray(skactiveml.vote_entropy(numbers, classes=np.arange(samples.shape[-1])))


ENTROPY, BALD, VARIANCE = of_baal(baal.Entropy()), of_baal(baal.BALD()), of_baal(baal.Variance())
MARGIN, CERTAINTY = of_baal(baal.Margin()), of_baal(baal.Certainty())

PEERS: dict[Acquisition, tuple[tuple[str, str, Peer], ...]] = {
    least_confidence: (
        ("scikit-activeml", "least_confident", of_scores("least_confident")),
        ("baal", "1 - Certainty", lambda samples: 1 - CERTAINTY(samples)),
    ),
    margin: (
        ("scikit-activeml", "margin_sampling", of_scores("margin_sampling")),
        ("baal", "1 - Margin", lambda samples: 1 - MARGIN(samples)),
    ),
    predictive_entropy: (
        ("scikit-activeml", "entropy", of_scores("entropy")),
        ("baal", "Entropy", ENTROPY),
    ),
    expected_entropy: (
        ("scikit-activeml", "entropy, mean over members", over_members(of_scores("entropy"))),
        ("baal", "Entropy, mean over members", over_members(ENTROPY)),
    ),
    mutual_information: (
        (
            "scikit-activeml",
            "average_kl_divergence (clips at 1e-7)",
            lambda samples: np.asarray(skactiveml.average_kl_divergence(samples)),
        ),
        (
            "scikit-activeml",
            "average_kl_divergence (clips at 1e-300)",
            lambda samples: np.asarray(skactiveml.average_kl_divergence(samples, eps=1e-300)),
        ),
        ("baal", "BALD", BALD),
    ),
    vote_entropy: (
        ("scikit-activeml", "vote_entropy", split_votes),
        ("baal", "BALD of certain votes", lambda samples: BALD(votes(samples))),
    ),
    variance: (
        ("baal", "Variance, sum over classes", lambda samples: VARIANCE(samples).sum(axis=1)),
    ),
}


if __name__ == "__main__":
    main()

"""What strategies of diversity look at: the network's features, or the scans themselves."""

from __future__ import annotations

from typing import Literal

from voxloop.active.spread.features import RegionFeatures, network_features, scan_features
from voxloop.active.strategies.context import SelectionContext
from voxloop.errors import UsageError

__all__ = ["Source", "describe_regions", "times"]

Source = Literal["scan", "network"]


def describe_regions(context: SelectionContext, source: Source) -> RegionFeatures:
    """All regions of the pool as points; from the scans where there is no network yet.

    Raises:
        UsageError: if there is nothing to look at.
    """
    if source == "network" and context.embed is not None:
        return network_features(context.pool, context.embed)
    if context.scans is not None:
        return scan_features(context.pool, context.scans)
    raise UsageError(
        "this strategy compares regions by how they look, and the scans are not at hand; give "
        "the selection the cases' scans, or choose a strategy that looks at none, e.g. strided"
    )


def times(reach: float, median: float) -> str:
    """A distance as a multiple of the median region's, for a sentence."""
    if not median > 0:
        return "as near to them as any other" if not reach > 0 else "most others are just like them"
    return f"{reach / median:.2g} times as far from them as the median region"

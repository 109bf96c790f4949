"""Choosing what to label next, and proving whether the choice paid."""

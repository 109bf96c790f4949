"""Knowing when a prediction is wrong: what it is expected to reach, and what looks odd about it."""

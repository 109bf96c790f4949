"""Strategies on trial: campaigns with a simulated annotator, and what they prove."""

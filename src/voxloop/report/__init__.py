"""Curves, overlays and one HTML file that needs no network."""

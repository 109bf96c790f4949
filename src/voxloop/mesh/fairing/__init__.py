"""Smoother surfaces of fewer triangles, within a budget of millimetres."""

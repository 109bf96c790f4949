"""Closed surfaces of labels in world millimetres, checked and exported."""

"""A project on disk where nothing is lost, and the use cases that act on it."""

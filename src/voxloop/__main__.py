"""Lets `python -m voxloop` do what the command `voxloop` does."""

from voxloop.cli.main import run

if __name__ == "__main__":
    run()

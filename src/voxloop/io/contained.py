"""File names inside files: followed within their folder, nowhere else."""

from __future__ import annotations

from pathlib import Path

from voxloop.io.fault import fault

__all__ = ["contained_path"]


def contained_path(source: Path, name: str) -> Path:
    """Find the file that `source` names, which must exist in or below the folder of `source`.

    A data set from elsewhere could otherwise make the reader open any file of this computer.

    Args:
        source: the header or index that holds the name.
        name: a relative path as written there.

    Raises:
        DataError: if the path is absolute, leaves the folder (also by a link), or is no file.
    """
    folder = source.parent
    target = folder / name.replace("\\", "/")
    try:
        inside = target.resolve().is_relative_to(folder.resolve())
        exists = target.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long, holds a NUL, a loop of links
        raise fault(source, "names of files", f"{name[:60]!r}", "correct the name") from error
    if Path(name).is_absolute() or not inside:
        raise fault(
            source,
            "names of files in its own folder",
            f"a reference to {name!r}, outside of it",
            "move the file into the folder and correct the name",
        )
    if not exists:
        raise fault(
            source,
            f"the file {name!r}, which it names, beside it",
            "no such file",
            "copy the missing file into the folder",
        )
    return target

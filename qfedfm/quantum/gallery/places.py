"""Where the gallery lies."""

from __future__ import annotations

from pathlib import Path

from qfedfm.core.errors import RequestError


def gallery_folder() -> Path:
    """Returns the gallery of this installation: the wheel's, or the one of the source tree.

    Raises:
        RequestError: If there is none.
    """
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "_gallery", package.parent / "circuits"):
        if (folder / "README.md").is_file():
            return folder
    raise RequestError(
        "this installation carries no gallery: write one with qfedfm circuits export --out circuits"
    )

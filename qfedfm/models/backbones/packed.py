"""Arrays in one memory-mapped file that is whole, or is made again.

A file is: 8 bytes with the length of a JSON header, the header, the arrays one after the other (each at a
multiple of 64 bytes), and the SHA-256 of everything before it. It is written beside its place and moved
there in one step; a file that is truncated or altered fails its checksum and is computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from qfedfm.core.files import placing

Shapes = Mapping[str, tuple[str, tuple[int, ...]]]
_FORMAT = "qfedfm-arrays-1"
_ALIGN = 64
_DIGEST = 32
_CHUNK = 1 << 24
_LOGGER = logging.getLogger(__name__)


def cached_arrays(
    path: Path, make: Callable[[], tuple[Shapes, Callable[[dict[str, np.ndarray]], None]]]
) -> dict[str, np.ndarray]:
    """Returns the arrays stored at ``path``, made first if they are not there or not whole.

    Args:
        path: The file.
        make: Returns dtype and shape per array, and a function that fills arrays of these shapes.

    Returns:
        Arrays mapped copy-on-write: writing to them never reaches the file.
    """
    arrays = read_arrays(path)
    if arrays is not None:
        return arrays
    if path.exists():
        _LOGGER.warning("the cache file %s is damaged and is computed again", path.name)
    shapes, fill = make()
    write_arrays(path, shapes, fill)
    arrays = read_arrays(path)
    assert arrays is not None, "a cache file that was just written must be readable"
    return arrays


def write_arrays(path: Path, shapes: Shapes, fill: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Writes arrays of the given dtypes and shapes, filled in place, and puts them at ``path``."""
    header = json.dumps({"format": _FORMAT, "arrays": {n: [d, list(s)] for n, (d, s) in shapes.items()}})
    start = 8 + len(header.encode())
    offsets, end = _offsets(shapes, start)
    with placing(path) as temporary:
        with temporary.open("wb") as stream:
            stream.write(len(header.encode()).to_bytes(8, "little") + header.encode())
            stream.truncate(end)
        arrays = _map(temporary, shapes, offsets, "r+")
        fill(arrays)
        for array in arrays.values():
            if isinstance(array, np.memmap):
                array.flush()
        with temporary.open("r+b") as stream:
            digest = _digest(temporary, end)
            stream.seek(end)
            stream.write(digest)


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Returns the arrays at ``path``, or None if the file is absent, truncated or altered."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            size = path.stat().st_size
            if length > size:
                return None
            header = json.loads(stream.read(length))
            if header["format"] != _FORMAT:
                return None
            shapes = {name: (str(dtype), tuple(shape)) for name, (dtype, shape) in header["arrays"].items()}
            offsets, end = _offsets(shapes, 8 + length)
            if size != end + _DIGEST:
                return None
            stream.seek(end)
            if stream.read(_DIGEST) != _digest(path, end):
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _map(path, shapes, offsets, "c")


def _offsets(shapes: Shapes, start: int) -> tuple[dict[str, int], int]:
    offsets = {}
    for name, (dtype, shape) in shapes.items():
        start = -(-start // _ALIGN) * _ALIGN
        offsets[name] = start
        start += math.prod(shape) * np.dtype(dtype).itemsize
    return offsets, start


def _map(path: Path, shapes: Shapes, offsets: Mapping[str, int], mode: str) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, (dtype, shape) in shapes.items():
        if math.prod(shape) == 0:
            arrays[name] = np.zeros(shape, dtype)
        else:
            arrays[name] = np.memmap(path, dtype=dtype, mode=mode, offset=offsets[name], shape=shape)  # type: ignore[call-overload]
    return arrays


def _digest(path: Path, end: int) -> bytes:
    digest, left = hashlib.sha256(), end
    with path.open("rb") as stream:
        while left > 0:
            block = stream.read(min(_CHUNK, left))
            if not block:
                break
            digest.update(block)
            left -= len(block)
    return digest.digest()

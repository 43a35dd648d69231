"""Cached arrays are whole, or made again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qfedfm.models.backbones.packed import cached_arrays, read_arrays, write_arrays

SHAPES = {"a": ("<f4", (3, 5)), "b": ("<i8", (7,)), "empty": ("<i4", (0, 2))}


def fill(arrays: dict[str, np.ndarray]) -> None:
    arrays["a"][:] = np.arange(15).reshape(3, 5)
    arrays["b"][:] = -np.arange(7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.arrays"
    write_arrays(path, SHAPES, fill)
    return path


def test_what_is_written_is_read(path: Path) -> None:
    arrays = read_arrays(path)
    assert arrays is not None
    np.testing.assert_array_equal(arrays["a"], np.arange(15).reshape(3, 5))
    np.testing.assert_array_equal(arrays["b"], -np.arange(7))
    assert arrays["empty"].shape == (0, 2)
    arrays["a"][:] = 0  # copy on write: the file stays
    again = read_arrays(path)
    assert again is not None and again["a"][2, 4] == 14
    assert [p.name for p in path.parent.iterdir()] == ["x.arrays"]


def _truncate(content: bytes) -> bytes:
    return content[:-9]


def _flip(content: bytes) -> bytes:
    return content[:-60] + bytes([content[-60] ^ 1]) + content[-59:]


def _header(content: bytes) -> bytes:
    return b"\xff" * 8 + content[8:]


def _empty(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_truncate, _flip, _header, _empty])
def test_a_damaged_file_is_made_again(
    path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(damage(path.read_bytes()))
    assert read_arrays(path) is None
    made = cached_arrays(path, lambda: (SHAPES, fill))
    assert made["a"][1, 1] == 6
    assert "damaged" in caplog.text
    assert read_arrays(path) is not None


def test_a_failure_while_filling_leaves_nothing(tmp_path: Path) -> None:
    def fail(arrays: dict[str, np.ndarray]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_arrays(tmp_path / "y.arrays", SHAPES, fail)
    assert list(tmp_path.iterdir()) == []

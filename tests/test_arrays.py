"""Arrays written and read row by row: NumPy's own files, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.inference.arrays import open_rows, write_rows

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_what_is_written_in_parts_is_what_numpy_reads(tmp_path: Path, dtype: type) -> None:
    path, rows = tmp_path / "deep" / "rows.npy", ROWS.astype(dtype)
    write_rows(path, rows.shape, dtype, iter([rows[:1], rows[1:1], rows[1:]]))
    for read in (np.load(path, allow_pickle=False), open_rows(path)):
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, rows)
    np.save(tmp_path / "other.npy", rows)
    assert path.read_bytes() == (tmp_path / "other.npy").read_bytes()


def test_an_array_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    def interrupted() -> Iterator[np.ndarray]:
        yield ROWS[:2]
        raise KeyboardInterrupt

    path = tmp_path / "rows.npy"
    with pytest.raises(KeyboardInterrupt):
        write_rows(path, ROWS.shape, np.float32, interrupted())
    for parts in ([ROWS[:2]], [ROWS, ROWS]):
        with pytest.raises(UserError, match="expected a text that does not change"):
            write_rows(path, ROWS.shape, np.float32, parts)
    assert list(tmp_path.iterdir()) == []


def test_no_more_is_read_than_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, ROWS)
    assert isinstance(open_rows(path), np.memmap)


def test_what_is_no_array_of_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, ROWS)
    whole = path.read_bytes()
    objects = np.empty((2, 2), dtype=object)
    for content in (
        b"",
        b"text\n",
        whole[:5],
        whole[:40],
        whole[:-1],
        whole[:9] + b"x" + whole[10:],
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"-input .*rows\.npy: .*expected what"):
            open_rows(path)
    for array in (objects, ROWS[0], ROWS[:0], ROWS[None], ROWS[:, :0]):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(UserError, match="expected what"):
            open_rows(path)
    np.savez(tmp_path / "rows.npz", ROWS)
    with pytest.raises(UserError, match="no array in it"):
        open_rows(tmp_path / "rows.npz")
    for missing in (tmp_path / "missing.npy", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            open_rows(missing)

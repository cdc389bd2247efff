"""Arrays of rows in NumPy's .npy format, written and read some rows at a time."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from onmt_lattice.errors import UserError
from onmt_lattice.files import STANDARD, output_stream, read_bytes

Rows = npt.NDArray[Any]


def write_rows(
    path: str | os.PathLike[str],
    shape: tuple[int, int],
    dtype: npt.DTypeLike,
    parts: Iterable[Rows],
) -> None:
    """Write an array of ``shape`` from the rows of ``parts``, whole or not at all.

    One part is in memory at a time. They are not written through a memory map, where a full disk
    would end the process without an error. ``-`` is standard output.
    """
    descr, rows = np.lib.format.dtype_to_descr(np.dtype(dtype)), 0
    with output_stream(os.fspath(path)) as file:
        head = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, head)
        for array in parts:
            rows += len(array)
            file.write(np.ascontiguousarray(array, dtype=dtype).tobytes())
        if rows != shape[0]:
            raise UserError(
                f"{path}: {shape[0]} lines gave {rows} rows; expected a text that does not change "
                "while it is read"
            )


def open_rows(path: str | os.PathLike[str]) -> Rows:
    """Return the array of rows ``(N, width)`` in the file of ``-input``, memory-mapped.

    Nothing is unpickled. ``-`` is standard input, which is read at once.
    """
    expected = "expected rows (N, d), at least one, as 'onmt_lattice encode' or numpy.save writes"
    try:
        if path == STANDARD:
            stream = io.BytesIO(read_bytes(STANDARD, "-input"))
            rows = np.lib.format.read_array(stream, allow_pickle=False)
        else:
            rows = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise UserError(f"-input {path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # the parser fails in any way on a wrong header
        raise UserError(f"-input {path}: no array in it ({error}); {expected}") from error
    if rows.ndim != 2 or 0 in rows.shape:
        raise UserError(f"-input {path}: an array of shape {rows.shape}; {expected}")
    return rows

"""Aligned matrices: rows at multiples of 64 bytes, and the numbers of any other."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from onmt_lattice.opennmt.model.devices import aligned, linear


@pytest.mark.parametrize("columns", [1, 15, 16, 17, 500])
def test_rows_are_aligned(columns: int) -> None:
    matrix = aligned(3, columns, torch.zeros(()))
    assert matrix.shape == (3, columns)
    step = (matrix[1].data_ptr() - matrix[0].data_ptr()) / matrix.itemsize
    assert step == matrix.stride(0) and step % 16 == 0 and columns <= step < columns + 16


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_a_linear_map_and_its_gradient(rows: int) -> None:
    torch.manual_seed(1)
    given = [torch.randn(*shape, requires_grad=True) for shape in ((rows, 5), (7, 5), (7,))]
    flow = torch.randn(rows, 7)
    found, expected = linear(*given), functional.linear(*given)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, given, flow),
        torch.autograd.grad(expected, given, flow),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)

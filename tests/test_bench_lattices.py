import re
import runpy
from collections.abc import Callable

import pytest
import torch
from conftest import SCRIPTS


def test_prints_a_line_for_each_call(script: Callable[..., list[str]]) -> None:
    options = ("-lattices", "Z", "E8^2", "-points", 10, 20, "-seconds", 0)
    threads = torch.get_num_threads()
    _, _, *lines = script("bench_lattices.py", *options)
    torch.set_num_threads(threads)
    assert [tuple(re.split(r"\s{2,}", line)[i] for i in (0, 1, 2)) for line in lines] == [
        (name, points, call)
        for name in ("Z", "E8^2")
        for points in ("10", "20")
        for call in (
            "copy",
            "nearest_point",
            "log_theta",
            "log_theta, gradient",
            "discrete_gaussian",
        )
    ]


def test_the_memory_of_a_call_is_that_of_its_tensors() -> None:
    peak = runpy.run_path(str(SCRIPTS / "bench_lattices.py"))["peak_mebibytes"]
    x = torch.zeros(2**18)  # one MiB
    assert peak(lambda: x.view(2, -1), x) == 0
    assert peak(x.clone, x) == 1
    assert peak(lambda: (x + 1).mul_(2).add(x).sum(), x) == pytest.approx(2, abs=1e-3)

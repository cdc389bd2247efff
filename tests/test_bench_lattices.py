import re
import runpy
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent.parent / "scripts" / "bench_lattices.py"


def test_prints_a_line_for_each_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-lattices", "Z", "E8^2", "-points", "10", "20", "-seconds", "0"]
    monkeypatch.setattr("sys.argv", ["bench_lattices.py", *options])
    threads = torch.get_num_threads()
    runpy.run_path(str(SCRIPT), run_name="__main__")
    torch.set_num_threads(threads)
    _, _, *lines = capsys.readouterr().out.splitlines()
    assert [tuple(re.split(r"\s{2,}", line)[i] for i in (0, 1, 2)) for line in lines] == [
        (name, points, call)
        for name in ("Z", "E8^2")
        for points in ("10", "20")
        for call in ("copy", "nearest_point", "log_theta", "log_theta, gradient")
    ]


def test_the_memory_of_a_call_is_that_of_its_tensors() -> None:
    peak = runpy.run_path(str(SCRIPT))["peak_mebibytes"]
    x = torch.zeros(2**18)  # one MiB
    assert peak(lambda: x.view(2, -1), x) == 0
    assert peak(x.clone, x) == 1
    assert peak(lambda: (x + 1).mul_(2).add(x).sum(), x) == pytest.approx(2, abs=1e-3)

"""Training runs as processes: finished, stopped, failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from onmt_lattice import runs
from onmt_lattice.errors import UserError
from onmt_lattice.runs import Run, train_all


def run_in(tmp_path: Path, name: str = "r", steps: int = 20) -> Run:
    run = Run(name, tmp_path / name, ("-config", "none.yaml"), steps)
    run.claim({"bottleneck": name})
    return run


def test_checkpoints_are_found_in_order_of_steps(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    for name in ("model_step_100.pt", "model_step_20.pt", "model_step_3.pt", "model_step_x.pt"):
        (run.folder / name).touch()
    (run.folder / ".model_step_999.pt.abc.part.pt").touch()  # a write that was cut off
    assert list(run.checkpoints()) == [3, 20, 100]
    assert run.finished


def test_the_command_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    assert "-train_from" not in run.command()
    (run.folder / "model_step_5.pt").touch()
    (run.folder / "model_step_10.pt").touch()
    words = run.command()
    assert words[words.index("-train_from") + 1] == str(run.folder / "model_step_10.pt")
    assert not run.finished and run.step() == 10


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.claim({"bottleneck": "r"})
    with pytest.raises(UserError, match="other settings"):
        run.claim({"bottleneck": "another"})
    with pytest.raises(UserError, match="other settings"):
        Run("r", run.folder, run.words, 30).claim({"bottleneck": "r"})


def test_the_log_gives_the_step(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    assert run.step() == 0
    run.log.write_text("Step 50/3000; acc: 1\nStep 100/3000; acc: 2\n", encoding="utf-8")
    assert run.step() == 100


def test_a_failed_run_is_reported_with_its_log(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    with pytest.raises(UserError, match=r"run r failed(.|\n)*none.yaml: cannot be read"):
        train_all([run], jobs=1)


def test_a_run_that_ends_early_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(Run, "command", lambda self: ["true"])
    with pytest.raises(UserError, match="failed"):
        train_all([run_in(tmp_path)], jobs=1)


def test_all_runs_are_brought_to_their_end_and_finished_ones_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(
        Run, "command", lambda self: ["touch", str(self.folder / f"model_step_{self.steps}.pt")]
    )
    done, *fresh = [run_in(tmp_path, name) for name in "abcd"]
    kept = done.folder / "model_step_20.pt"
    kept.write_bytes(b"kept")
    train_all([done, *fresh], jobs=2)
    assert all(run.finished for run in fresh)
    assert kept.read_bytes() == b"kept"


def test_an_interruption_stops_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "command", lambda self: ["sleep", "60"])
    started = []
    start = runs._start
    monkeypatch.setattr(runs, "_start", lambda *args: started.append(start(*args)) or started[-1])

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_all([run_in(tmp_path, "a"), run_in(tmp_path, "b")], jobs=2)
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)

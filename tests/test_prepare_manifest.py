from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onmt_lattice.environment import versions
from onmt_lattice.errors import UserError
from onmt_lattice.prepare.manifest import PACKAGES, Manifest, Step, key, sole_user


def step(folder: Path, under: str = "k", name: str = "model") -> Step:
    return Step(name, under, (folder / f"{name.replace('/', '-')}.txt",))


def write(this: Step, content: str = "content") -> Any:
    """Return work that writes the step's files and counts its calls."""

    def do() -> dict[str, int]:
        do.calls += 1
        for path in this.files:
            path.write_text(content)
        return {"lines": len(content)}

    do.calls = 0
    return do


def test_a_step_is_done_once_even_by_another_run(tmp_path: Path) -> None:
    this = step(tmp_path)
    do = write(this)
    first = Manifest(tmp_path)
    assert first.once(this, do) == first.once(this, do) == {"lines": 7}
    second = Manifest(tmp_path)
    assert second.once(this, do) == {"lines": 7}
    assert do.calls == 1
    assert (first.done, second.done) == (["model"], [])


@pytest.mark.parametrize("harm", [lambda p: p.unlink(), lambda p: p.write_text("CONTENT")])
def test_a_harmed_file_is_made_anew(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    this = step(tmp_path)
    Manifest(tmp_path).once(this, write(this))
    harm(this.files[0])
    Manifest(tmp_path).once(this, write(this))
    assert this.files[0].read_text() == "content"


def test_a_failed_step_is_not_done(tmp_path: Path) -> None:
    this = step(tmp_path)

    def fail() -> None:
        raise KeyboardInterrupt

    manifest = Manifest(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        manifest.once(this, fail)
    assert not Manifest(tmp_path).current(this)


def test_other_options_are_refused_by_name_until_asked_for(tmp_path: Path) -> None:
    old, new = step(tmp_path, "a"), step(tmp_path, "b")
    manifest = Manifest(tmp_path)
    manifest.begin([old], {"merges": 1, "seed": 1}, replace=False)
    manifest.once(old, write(old))
    again = Manifest(tmp_path)
    with pytest.raises(UserError, match=r"\(merges was 1, is 2\); give -redo"):
        again.begin([new], {"merges": 2, "seed": 1}, replace=False)
    assert old.files[0].exists()
    again.begin([new], {"merges": 2, "seed": 1}, replace=True)
    assert not old.files[0].exists()
    assert not again.current(old)


def test_intermediate_files_make_way_unasked(tmp_path: Path) -> None:
    old = step(tmp_path, "a", "tokens/x")
    manifest = Manifest(tmp_path)
    manifest.begin([old], {}, replace=False)
    manifest.once(old, write(old))
    manifest.begin([step(tmp_path, "b", "tokens/x")], {}, replace=False)
    assert not old.files[0].exists()


def test_begin_keeps_what_is_current(tmp_path: Path) -> None:
    this = step(tmp_path)
    Manifest(tmp_path).once(this, write(this))
    manifest = Manifest(tmp_path)
    manifest.begin([this], {}, replace=True)
    assert manifest.current(this)


def test_versions_and_hashes_are_recorded(tmp_path: Path) -> None:
    this = step(tmp_path)
    Manifest(tmp_path).once(this, write(this))
    record = json.loads((tmp_path / "manifest.json").read_text())
    assert record["versions"] == versions(*PACKAGES)
    assert {"python", "onmt_lattice", "sacremoses", "subword-nmt"} <= record["versions"].keys()
    assert record["steps"]["model"]["files"]["model.txt"] == {
        "bytes": 7,
        "sha256": "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
    }


def test_a_damaged_manifest_is_told(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json: not JSON; .* delete it"):
        Manifest(tmp_path)


def test_keys_tell_ingredients_apart() -> None:
    assert key(1, "a", [2]) == key(1, "a", (2,))
    assert len({key(1), key("1"), key([1]), key(None), key({"a": 1}), key({"a": 2})}) == 6


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with sole_user(tmp_path):
        with pytest.raises(UserError, match="another run is at work"), sole_user(tmp_path):
            pass
    with sole_user(tmp_path):
        pass


def test_what_a_killed_run_left_half_written_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    stray = tmp_path / "work" / ".x.en.abc.part.en"
    part = tmp_path / "de-en.tgz.part"  # a download to go on with
    for path in (stray, part):
        path.touch()
    with sole_user(tmp_path):
        assert not stray.exists()
        assert part.exists()
        assert os.path.exists(tmp_path / ".lock")

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import miniature
import pytest

from onmt_lattice.cli import main
from onmt_lattice.cli.prepare import run
from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare.newstest import ARCHIVE, MEMBER

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "prepare_wmt16"
SMALL = ["-merges", "40", "-workers", "1"]


def script(*words: object, **how: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def prepare(*words: object) -> None:
    run(list(map(str, words)))


def test_the_script_downloads_prepares_and_then_has_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with miniature.serving(miniature.archives(), break_after={"dev.tgz": 200}) as server:
        words = ["-output", tmp_path / "out", "-mirror", server.url, "-merges", 40]
        first = script(*words, "-workers", 2)
        out, err = first.communicate()
        assert first.returncode == 0, err
        assert "train.en: 120 sentences" in out
        assert re.search(r"tokens/europarl-v7: 40 pairs, .* pairs/s", err)
        assert re.search(r"dev.tgz: connection failed .*trying again in 1 s", err)
        assert "newstest2014: 5 sentences where" in err
    prepare("wmt16", *words)
    assert "nothing to do: all was up to date" in capsys.readouterr().out


def test_a_killed_script_resumes_where_it_was(tmp_path: Path) -> None:
    given = miniature.write(tmp_path / "archives", miniature.archives(miniature.members(300)))
    out, words = tmp_path / "out", ["-from", given, *SMALL, "-output"]
    prepare("wmt16", *words, tmp_path / "whole")
    outputs = ["train.en", "valid.en", "newstest2014.en", "bpe.codes", "vocab.txt"]
    whole = {name: (tmp_path / "whole" / name).read_bytes() for name in outputs}
    killed = 0
    for sign in ("work/.*.part*", "work/*.en", "bpe.codes"):
        running = script(*words, out)
        while running.poll() is None and not any(out.glob(sign)):
            time.sleep(0.001)
        killed += running.poll() is None
        running.kill()
        running.communicate()
        there = {name: (out / name).read_bytes() for name in outputs if (out / name).exists()}
        assert there.items() <= whole.items()
    assert killed >= 2
    prepare("wmt16", *words, out)
    assert {name: (out / name).read_bytes() for name in outputs} == whole
    assert not list(out.rglob(".*.part*"))


def test_ctrl_c_says_how_to_resume(tmp_path: Path) -> None:
    with miniature.serving(miniature.archives(), answers={"de-en.tgz": [503] * 9}) as server:
        heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell may ignore it
        words = ("-output", tmp_path / "out", "-mirror", server.url)
        running = script(*words, preexec_fn=heard)
        assert running.stderr is not None
        assert any("trying again" in line for line in running.stderr)  # and waits a second or more
        running.send_signal(signal.SIGINT)
        _, err = running.communicate()
    assert running.returncode == 130
    assert err.splitlines()[-1] == "onmt_lattice prepare: interrupted; run again to resume"


def test_a_mistake_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["prepare", "wmt16", "-output", str(tmp_path), "-from", str(tmp_path / "none")]) == 2
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert (
        err == f"onmt_lattice prepare: error: -from {tmp_path / 'none'}: there is no such folder\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-merges", "0"], "-merges 0: expected at least 1"),
        (["-workers", "two"], "invalid int value: 'two'"),
        (["-seed", "-1"], "-seed -1: expected at least 0"),
        (["-seed", "4294967296"], "-seed 4294967296: expected at least 0 and at most 4294967295"),
        (["-mirror", "ftp://x"], "-mirror ftp://x: expected an address, http"),
        (["-subword", "wordpiece"], "invalid choice: 'wordpiece'"),
        (["-checksums", "none.txt"], "-checksums none.txt: cannot be read"),
        (["-merge", "3"], "did you mean 'merges'"),
        (["-out", "x"], "unknown option 'out'; did you mean 'output'"),
        (["--joint-bpe"], "unknown option 'joint-bpe'; did you mean 'joint_bpe'"),
    ],
)
def test_wrong_options_are_named(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "wmt16", "-output", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err


def test_both_commands_mount_on_a_parser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = miniature.write(tmp_path / "archives", miniature.archives())
    prepare("wmt16", "-output", tmp_path / "out", "-from", given, *SMALL)
    assert "vocab.txt" in capsys.readouterr().out
    archive = miniature.tgz({MEMBER: miniature.sgm(miniature.sentences(3003, "en"))})
    miniature.write(given, {ARCHIVE: archive})
    prepare("newstest2014", "-from", given, "-output", tmp_path / "news.en")
    assert "news.en: 3,003 sentences" in capsys.readouterr().out
    with pytest.raises(UserError, match="wmt17"):
        prepare("wmt17")


@pytest.mark.parametrize("words", [["--help"], ["wmt16", "--help"], ["newstest2014", "--help"]])
def test_help_has_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        prepare(*words)
    assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "example: onmt_lattice prepare" in text
    assert "3,003" in text or "80 tokens" in text or "newstest2014" in text

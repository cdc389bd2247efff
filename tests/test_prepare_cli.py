from __future__ import annotations

import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import miniature
import pytest
from conftest import Capture

from onmt_lattice.cli import main
from onmt_lattice.cli.prepare import run
from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare.newstest import ARCHIVE, MEMBER

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "prepare_wmt16"
SMALL = ["-merges", "40", "-workers", "1"]


def script(*words: object, **how: Any) -> subprocess.Popen[str]:
    command, pipe = [sys.executable, SCRIPT, *map(str, words)], subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **how)


def prepare(*words: object) -> None:
    run(list(map(str, words)))


def test_the_script_downloads_prepares_and_then_has_nothing_to_do(
    tmp_path: Path, capsys: Capture
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-from", "none"], "onmt_lattice prepare: error: -from none: there is no such folder\n"),
        (["-mirror", "ftp://x"], "-mirror ftp://x: expected an address, http"),
        (["-subword", "wordpiece"], "invalid choice: 'wordpiece'"),
        (["-checksums", "none.txt"], "-checksums none.txt: cannot be read"),
    ],
)
def test_wrong_options_are_named(
    tmp_path: Path, words: list[str], message: str, capsys: Capture
) -> None:
    assert main(["prepare", "wmt16", "-output", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err


def test_both_commands_mount_on_a_parser(tmp_path: Path, capsys: Capture) -> None:
    given = miniature.write(tmp_path / "archives", miniature.archives())
    prepare("wmt16", "-output", tmp_path / "out", "-from", given, *SMALL)
    assert "vocab.txt" in capsys.readouterr().out
    archive = miniature.tgz({MEMBER: miniature.sgm(miniature.sentences(3003, "en"))})
    miniature.write(given, {ARCHIVE: archive})
    prepare("newstest2014", "-from", given, "-output", tmp_path / "news.en")
    assert "news.en: 3,003 sentences" in capsys.readouterr().out
    with pytest.raises(UserError, match="wmt17"):
        prepare("wmt17")

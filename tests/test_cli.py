"""The command line itself: help, exit statuses, and what reaches the terminal."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Capture, Corpus, Mistake
from golden_files import GOLDEN
from made_up_results import made_up_evaluation

from onmt_lattice import __version__
from onmt_lattice.cli import main
from onmt_lattice.cli.main import COMMANDS, usage
from onmt_lattice.experiments.corpus import write_corpus
from onmt_lattice.experiments.demo.demo import CONFIG
from onmt_lattice.experiments.sweep.plan import read_plan

OURS = ["build_vocab", "train", "translate", "evaluate", "encode", "decode"]


def test_usage_names_every_command(capsys: Capture) -> None:
    for words, status in ((["-h"], 0), (["-help"], 0), (["--help"], 0), ([], 2)):
        assert main(words) == status
        assert capsys.readouterr().out == usage() + "\n"
    assert all(re.search(rf"^  {name} ", usage(), flags=re.MULTILINE) for name in COMMANDS)
    assert "bits" in usage() and "example: onmt_lattice " in usage()
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"onmt_lattice {__version__}\n"


def help_of(command: str, capsys: Capture, flag: str = "--help") -> str:
    with pytest.raises(SystemExit) as end:
        main([command, flag])
    assert end.value.code == 0
    shown, err = capsys.readouterr()
    assert err == ""
    return shown


@pytest.mark.parametrize("command", OURS)
def test_help_shows_units_and_an_example(
    command: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = help_of(command, capsys)
    assert help_of(command, capsys, "-h") == help_of(command, capsys, "-help") == shown
    assert f"onmt_lattice {command}" in shown
    units = {
        "build_vocab": "'<token>\\t<count>' per line",
        "train": "in bits per target token",
        "translate": "Lengths are in tokens, scores in nats",
        "evaluate": "in bits: per target token",
        "encode": "The array is in NumPy's .npy format",
        "decode": "A row of NaN, or of -2^63 in points, becomes an empty line",
    }
    assert units[command] in " ".join(shown.split())
    write_corpus(tmp_path / "runs/demo/text")
    demo = read_plan(CONFIG, Path("runs/demo"), Path("runs/demo/text"), None)
    example = shlex.split(shown.split("example: ")[1].split("\n\n")[0])
    assert example[:2] == ["onmt_lattice", command]
    for option in example[2::2]:
        assert re.search(rf"(^|[ ,]){option}\b", shown, flags=re.MULTILINE), option
    for value in example[3::2]:
        if value.startswith("runs/demo/") and not value.endswith(".safetensors"):
            assert Path(value).is_file()
        if value.endswith(".safetensors"):
            assert Path(value) in [model for run in demo.runs for model in run.evaluated().values()]


def test_an_unknown_command(mistake: Mistake) -> None:
    assert "unknown command 'trian'; did you mean 'train'?" in mistake("trian")
    assert "unknown command 'xyzzy' (valid: build_vocab, " in mistake("xyzzy")


@pytest.mark.parametrize(
    "words",
    [
        "evaluate -model OLD m -src s -scores OLD",
        "evaluate -model m -src s -output OLD -scores OLD",
        "evaluate -model m -src s -output NEW -reconstruct NEW",
        "compress -model m -src OLD -output OLD",
        "encode -model SHARED -src s -output SHARED/model.safetensors",
        "translate -model SHARED -src s -output SHARED/model.safetensors",
        "quantize -model OLD -lattice Z -src s -output LINK",
        "pack -input x -bits 3 -codec NEW -output NEW",
        "plot j.svg OLD -output OLD",
    ],
)
def test_no_output_replaces_what_another_option_names(
    tmp_path: Path, mistake: Mistake, words: str
) -> None:
    old, link = tmp_path / "old", tmp_path / "link"
    old.write_text("kept")
    link.symlink_to(old)
    for name, path in (
        ("OLD", old),
        ("LINK", link),
        ("NEW", tmp_path / "new"),
        ("SHARED", tmp_path),
    ):
        words = words.replace(name, str(path))
    assert "as well; expected another file" in mistake(*words.split())
    assert old.read_text() == "kept"


def test_what_a_user_can_mend_is_one_line_but_a_bug_is_not(
    monkeypatch: pytest.MonkeyPatch, mistake: Mistake, capfd: Capture
) -> None:
    def fails(error: BaseException) -> None:
        def run(_: list[str]) -> None:
            raise error

        monkeypatch.setattr("onmt_lattice.cli.evaluate.run", run)

    no_memory = "error: out of memory; a smaller -batch_size"
    for error, said in (
        (PermissionError(13, "Permission denied", "/some/file"), "/some/file: Permission denied"),
        (MemoryError(), no_memory),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), no_memory),
    ):
        fails(error)
        assert said in mistake("evaluate")
    fails(KeyboardInterrupt())
    capfd.readouterr()
    assert main(["evaluate"]) == 130
    assert capfd.readouterr().err == "onmt_lattice evaluate: interrupted\n"
    for bug in (OSError("no file in it"), ValueError("a bug"), KeyError("a bug")):
        fails(bug)
        with pytest.raises(type(bug)):
            main(["evaluate"])


# ---- in a process of its own ---------------------------------------------------------------------

MOMENTS = "theory -experiments moments -lattices Z -samples 200 -output out"


def run(*words: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    environment = {**inherited, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        words, capture_output=True, text=True, timeout=300, cwd=cwd, env=environment
    )


def shell(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    words = f"exec {shlex.quote(sys.executable)} -m onmt_lattice {command}"
    return run("sh", "-c", words, cwd=folder, **variables)


def test_characters_that_a_stream_cannot_show_are_replaced(tmp_path: Path) -> None:
    done = shell(MOMENTS, tmp_path, PYTHONIOENCODING="ascii:strict")
    assert (done.returncode, done.stderr) == (0, "") and "?" in done.stdout
    assert (tmp_path / "out" / "moments.txt").is_file()


def test_closed_streams_are_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a b\n")
    assert shell(f"{MOMENTS} >&- 2>&- <&-", tmp_path).returncode == 0
    assert (tmp_path / "out" / "moments.txt").is_file()
    done = shell("inspect - <&-", tmp_path)
    assert done.returncode == 2 and "standard input is closed" in done.stderr
    done = shell("compress -model m -src a.txt -output - >&-", tmp_path)
    assert done.returncode == 2 and "standard output is closed" in done.stderr


def test_kernels_that_may_not_be_compiled_are_refused(tmp_path: Path) -> None:
    done = shell(MOMENTS, tmp_path, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 2 and "NUMBA_DISABLE_JIT is set" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_cache_of_kernels_is_made_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert shell(MOMENTS, tmp_path, NUMBA_CACHE_DIR=str(cache)).stderr == ""
    for pattern, size in {"*.nbi": 0, "*.nbc": 100}.items():
        files = list(cache.rglob(pattern))
        assert files
        for file in files:
            os.truncate(file, size)
        done = shell(MOMENTS, tmp_path, NUMBA_CACHE_DIR=str(cache))
        assert done.returncode == 0 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("warning: the cache of compiled kernels is damaged")
    assert shell(MOMENTS, tmp_path, NUMBA_CACHE_DIR=str(cache)).stderr == ""


SCRIPT = """
import sys, warnings
from onmt_lattice.cli import main
for words in {commands!r}:
    assert main(words) == 0, words
warnings.warn("mine, of the future", FutureWarning)
warnings.warn("mine, deprecated", DeprecationWarning)
warnings.warn("mine, plain")
"""


def test_only_the_user_s_own_warnings_are_shown(corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.yaml(
        tmp_path / "a.yaml", save_model=str(tmp_path / "m"), train_steps=2, valid_steps=2
    )
    model = ["-model", str(tmp_path / "m_step_2.safetensors"), "-src", str(corpus.test)]
    commands = [
        ["train", "-config", str(config)],
        ["train", "-config", str(config), "-train_from", str(tmp_path / "m_step_2.safetensors")],
        ["evaluate", *model, "-reconstruct", str(tmp_path / "r")],
        ["translate", *model, "-output", str(tmp_path / "t")],
    ]
    done = run(sys.executable, "-c", SCRIPT.format(commands=commands))
    assert done.returncode == 0, done.stderr
    assert re.findall(r"Warning: (.*)", done.stderr) == [
        "mine, of the future",
        "mine, deprecated",
        "mine, plain",
    ]


def test_the_module_is_the_command() -> None:
    shown = run(sys.executable, "-m", "onmt_lattice", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == usage() + "\n"
    refused = run(sys.executable, "-m", "onmt_lattice", "evaluat")
    assert refused.returncode == 2
    assert refused.stderr.startswith("onmt_lattice evaluat: error: unknown command 'evaluat'; did")


START = """
import sys
from onmt_lattice.cli import main
for words in {quick!r}:
    try:
        assert main(words) == 0, words
    except SystemExit as end:  # of --help
        assert end.code == 0, words
    print(words, {heavy!r} & sys.modules.keys(), file=sys.stderr)
assert main({plot!r}) == 0
print("plot", {{"torch", "onmt"}} & sys.modules.keys(), file=sys.stderr)
"""
HEAVY = {"torch", "onmt", "numpy", "numba", "matplotlib", "requests"}


def test_what_needs_no_model_starts_without_torch(tmp_path: Path) -> None:
    made_up_evaluation("gaussian", 1, 1.0, 2.0).write(tmp_path / "a.json")
    quick = [["--help"], ["inspect", str(GOLDEN / "lattice_conv16.olz")]]
    quick += [["prepare", text, "--help"] for text in ("wmt16", "newstest2014")]
    quick += [[c, "--help"] for c in COMMANDS if c not in ("build_vocab", "train", "translate")]
    plot = ["plot", str(tmp_path / "a.json"), "-o", str(tmp_path / "a.png")]
    done = run(sys.executable, "-c", START.format(quick=quick, heavy=HEAVY, plot=plot))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [f"{words} set()" for words in (*quick, "plot")]


def test_every_command_that_needs_opennmt_reports_that_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    model, text, output = ["-model", "any"], ["-src", "any"], ["-output", "out"]
    commands = [
        *(["train"], ["build_vocab"], ["translate"], ["demo"], ["evaluate", *model, *text]),
        *([name, *model, *text, *output] for name in ("compress", "encode")),
        *(["decode", *model, "-input", "any", *output], ["sweep", "-config", "any", *output]),
        ["quantize", *model, *text, *output, "-lattice", "Z"],
    ]
    code = f"""
import sys
from onmt_lattice.cli import main
sys.modules["onmt"] = None  # as if it were not installed
print([main(words) for words in {commands}])
"""
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.stdout == f"{[2] * len(commands)}\n"
    said = "OpenNMT-py is not installed: expected version 2.3.0, from pip install --no-deps "
    assert done.stderr.splitlines() == [
        f"onmt_lattice {words[0]}: error: {said}OpenNMT-py==2.3.0" for words in commands
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["any"]


def test_vectors_are_packed_without_opennmt(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((200, 4)))
    code = """
import sys
from onmt_lattice.cli import main
sys.modules["onmt"] = None  # as if it were not installed
words = ["-input", "x.npy", "-output", "x.olz", "-mse", "0.1", "-lattice", "Z"]
print(main(["pack", *words]), main(["unpack", "-input", "x.olz", "-output", "y.npy"]))
"""
    assert run(sys.executable, "-c", code, cwd=tmp_path).stdout == "0 0\n"
    assert np.load(tmp_path / "y.npy").shape == (200, 4)

"""Where nothing can be written, every command says so in a line, and before any work."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import Corpus, Mistake, Trained

from onmt_lattice import files
from onmt_lattice.cli import decompress, main
from onmt_lattice.experiments.demo.demo import CONFIG

ROOM = "No space left on device; make room there, or choose another place"


@pytest.fixture
def writes(corpus: Corpus, trained: Trained, tmp_path: Path) -> dict[str, list[object]]:
    """A call of every command that writes a file, but for its place, by the option of that."""
    src = ["-src", corpus.test]
    lattice, evaluation = ["-model", trained("lattice_z")], tmp_path / "in.json"
    file, vectors = tmp_path / "in.olz", tmp_path / "in.npy"
    for words in (
        ["compress", *lattice, *src, "-output", file],
        ["encode", *lattice, *src, "-output", vectors],
        ["evaluate", *lattice, *src, "-output", evaluation],
    ):
        assert main([str(word) for word in words]) == 0
    data = yaml.safe_dump({"c": {"path_src": str(corpus.train)}})
    train = ["train", "-config", corpus.yaml(tmp_path / "in.yaml"), "-train_steps", 2]
    gaussian = ["-model", trained("gaussian"), "-src", corpus.train]
    return {
        "evaluate -output": ["evaluate", *lattice, *src],
        "evaluate -reconstruct": ["evaluate", *lattice, *src],
        "evaluate -scores": ["evaluate", *lattice, *src],
        "translate -output": ["translate", *lattice, *src],
        "compress -output": ["compress", *lattice, *src],
        "decompress -output": ["decompress", *lattice, "-input", file],
        "encode -output": ["encode", *lattice, *src],
        "decode -output": ["decode", *lattice, "-input", vectors],
        "quantize -output": ["quantize", *gaussian, "-lattice", "E8"],
        "plot -output": ["plot", evaluation],
        "build_vocab -src_vocab": ["build_vocab", "-data", data],
        "train -save_model": train,
        "train -log_json": [*train, "-save_model", tmp_path / "models" / "m"],
        "theory -output": ["theory", "-experiments", "moments", "-lattices", "Z"],
    }


FOLDERS = ("theory -output",)  # options that name a folder
SUFFIX = {"plot -output": ".svg"}


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands fail at the work that comes behind their checks."""

    def worked(*_: object, **__: object) -> None:
        raise AssertionError("a model was built or loaded before the output was looked at")

    monkeypatch.setattr("onmt.model_builder.build_base_model", worked)
    monkeypatch.setattr("onmt_lattice.opennmt.checkpoint.loading.read_file", worked)


def test_a_place_that_takes_no_file(
    writes: dict[str, list[object]], no_work: None, tmp_path: Path, mistake: Mistake
) -> None:
    held = tmp_path / "held"
    held.write_text("x")
    for name, words in writes.items():
        option, suffix = name.split()[1], SUFFIX.get(name, "")
        for place, said in (
            (f"/proc/none/out{suffix}", "(no checkpoint|nothing) can be written to /proc"),
            (f"{held}/out{suffix}", "held is a file; choose|File exists"),
        ):
            assert re.search(said, mistake(*words, option, place)), name
        if name in FOLDERS:
            assert f"{option} {held}: is a file; expected a folder" in mistake(*words, option, held)
        elif not name.startswith("evaluate"):  # which writes into a folder
            folder = tmp_path / f"folder{suffix}"
            folder.mkdir(exist_ok=True)
            for place in (folder, f"{folder}/", *([] if suffix else ["."])):
                assert re.search(
                    f"{re.escape(str(place))}: is a folder", mistake(*words, option, place)
                )
            if not suffix and name != "train -save_model":  # where a step follows the name
                assert "is not an ordinary file" in mistake(*words, option, "/dev/null")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == []
    assert held.read_text() == "x" and Path("/dev/null").is_char_device()


WHOLE_FOLDERS: list[list[object]] = [
    ["sweep", "-config", CONFIG],
    ["sweep", "-results", CONFIG],
    ["demo"],
    ["prepare", "wmt16"],
]


@pytest.mark.parametrize("words", WHOLE_FOLDERS, ids=lambda words: " ".join(map(str, words[:2])))
def test_what_can_be_no_folder(words: list[object], tmp_path: Path, mistake: Mistake) -> None:
    held = tmp_path / "held"
    held.write_text("x")
    for place, said in (
        (held, f"-output {held}: is a file; expected a folder"),
        (held / "deep", f"-output {held}/deep: {held} is a file; choose another place"),
        ("/proc/none/deep", "nothing can be written to /proc (No such file or directory)"),
    ):
        assert said in mistake(*words, "-output", place)
    assert os.listdir(tmp_path) == ["held"]


def test_a_folder_is_no_file_to_read(
    writes: dict[str, list[object]], tmp_path: Path, mistake: Mistake
) -> None:
    """Each path that a command reads is put in turn to a folder."""
    for name, words in writes.items():
        given = [*words, name.split()[1], tmp_path / f"new{SUFFIX.get(name, '')}"]
        for place, word in enumerate(words):
            if isinstance(word, Path):
                said = mistake(*given[:place], tmp_path, *given[place + 1 :])
                assert re.search("Is a directory|no such file|is a folder", said), (name, said)
        assert not list(tmp_path.glob("new*"))


def test_folders_for_several_models_are_looked_at_too(
    corpus: Corpus, trained: Trained, tmp_path: Path, mistake: Mistake
) -> None:
    given = ["evaluate", "-model", trained("gaussian"), trained("lattice_z"), "-src", corpus.test]
    (tmp_path / "file").touch()
    for option in ("-output", "-reconstruct", "-scores"):
        assert "nothing can be written to /proc" in mistake(*given, option, "/proc/none")
        assert "expected a folder, for 2" in mistake(*given, option, tmp_path / "file")


# ---- a full disk ---------------------------------------------------------------------------------


def test_a_disk_that_is_full_is_told_by_every_command(
    corpus: Corpus,
    writes: dict[str, list[object]],
    tmp_path: Path,
    mistake: Mistake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files, "_sync", full)
        for name, words in writes.items():
            place = tmp_path / f"{name}{SUFFIX.get(name, '')}"
            said = mistake(*words, name.split()[1], place)
            assert str(place) in said and "No space left on device" in said, name
            assert ROOM in said or name == "train -save_model"  # which names the last checkpoint
            assert not list(tmp_path.glob(".*.part*")), name
            assert not place.is_file()
        words = ("-config", CONFIG, "-text", corpus.folder, "-output", tmp_path / "out")
        said = mistake("sweep", *words)
        assert f"error: {tmp_path}/out/" in said and ROOM in said


STUB = """
import sys, types
from onmt_lattice.cli import main
sys.modules["onmt_lattice.cli.plot"] = types.SimpleNamespace(run=lambda words: {work})
sys.exit(main(["plot"]))
"""


def shell(work: str, behind: str = "", before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command whose ``work`` is an expression, in a shell and a process of its own."""
    command = f"{sys.executable} -c {shlex.quote(STUB.format(work=work))}"
    line = f"{before} {command} {behind}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The kernel's own refusal, in the middle of a file."""
    path = tmp_path / "out"
    work = f"__import__('onmt_lattice.files').files.write_text({str(path)!r}, 'x' * 5000)"
    assert shell(work, before="ulimit -f 5;").returncode == 0
    assert path.stat().st_size == 5000
    done = shell(work, before="ulimit -f 4;")
    said = f"onmt_lattice plot: error: {path}: File too large; choose another place\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert os.listdir(tmp_path) == ["out"] and path.stat().st_size == 5000


def test_standard_output_that_is_full_or_closed() -> None:
    done = shell("print('x' * 100_000)", "> /dev/full")
    said = f"onmt_lattice plot: error: standard output: {ROOM}\n"
    assert (done.returncode, done.stderr) == (2, said)
    done = shell("print('x' * 1_000_000)", "| head -c 1")
    assert (done.returncode, done.stdout, done.stderr) == (141, "x", "")


@pytest.mark.parametrize(("free", "warned"), [(10**12, False), (10**5, True)])
def test_training_warns_of_a_disk_without_room(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, warned: bool
) -> None:
    usage = SimpleNamespace(total=free, used=0, free=free)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    config, log = corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "m")), tmp_path / "log"
    steps = ("-train_steps", "2", "-save_checkpoint_steps", "1", "-log_file", str(log))
    assert main(["train", "-config", str(config), *steps]) == 0
    said = f"-save_model {tmp_path / 'm'}: 2 checkpoints of "
    assert (said in log.read_text(encoding="utf-8")) == warned
    if warned:
        told = float(
            re.findall(r"2 checkpoints of ([\d.]+) MB", log.read_text(encoding="utf-8"))[0]
        )
        assert 0.5 < told * 1e6 / (tmp_path / "m_step_2.safetensors").stat().st_size < 1


def test_a_stopped_command_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM ends it as Ctrl-C does; Python would end at once, and leave the part."""
    before = signal.getsignal(signal.SIGTERM)

    def asked_to_stop(argv: list[str]) -> None:
        with files.whole_file(tmp_path / "out.txt") as part:
            Path(part).write_text("half", encoding="utf-8")
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(decompress, "run", asked_to_stop)
    assert main(["decompress"]) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before

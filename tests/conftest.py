"""A small corpus, models trained on it through the command line, and models fresh from the bridge.

What costs seconds is made once a run. Only the fixtures that need OpenNMT-py import it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from torch.nn.utils.rnn import pad_sequence

from onmt_lattice.cli import main
from onmt_lattice.experiments.corpus import english_grammar

if not torch.cuda.is_available():  # before anything imports Triton
    os.environ["TRITON_INTERPRET"] = "1"

SCRIPTS = Path(__file__).parent.parent / "scripts"
BOTTLENECKS: dict[str, dict[str, Any]] = {
    "none": {"bottleneck": "none"},
    "gaussian": {"bottleneck": "gaussian", "bottleneck_dim": 16},
    "lattice_z": {"bottleneck": "lattice", "lattice": "Z", "bottleneck_dim": 16},
    "lattice_a2": {"bottleneck": "lattice", "lattice": "A2", "bottleneck_dim": 15},
    "ste_scalar": {"bottleneck": "ste_scalar", "levels": 3},
    "ste_vector": {"bottleneck": "ste_vector", "levels": 4},
    "residual_vq": {"bottleneck": "residual_vq", "levels": 8, "quantizers": 4},
}
Build = Callable[..., Any]
Mistake = Callable[..., str]
Trained = Callable[[str], Path]
Script = Callable[..., list[str]]
Capture = pytest.CaptureFixture[str]
NEEDS_PYONMTTOK = pytest.mark.skipif(
    find_spec("pyonmttok") is None, reason="pyonmttok has no wheels for Python 3.13 and later"
)
MODEL = {
    **{"rnn_size": 32, "word_vec_size": 16, "layers": 1, "param_init": 0.3},
    **{"batch_size": 32, "bucket_size": 100, "learning_rate": 0.02},
}
SCHEDULE = {"train_steps": 60, "rate_weight_midpoint": 100, "report_every": 10, "valid_steps": 30}


def pytest_configure(config: pytest.Config) -> None:
    """Leave OpenNMT-py's own deprecation warnings out of the summary."""
    for module in ("onmt", "torchtext"):
        config.addinivalue_line("filterwarnings", rf"ignore::FutureWarning:{module}\.")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Keep tiny tensors from being split among threads."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Undo what OpenNMT-py does to the root logger, whose stream ends with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@dataclass(frozen=True)
class Corpus:
    """Texts of the embedded grammar with their vocabulary, and a place for models.

    ``valid`` holds an empty line; ``test`` two, and words that training has never seen.
    """

    folder: Path
    train: Path
    valid: Path
    test: Path
    vocabulary: Path

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return the settings of a small Gaussian model, and of a short run, with ``changes``."""
        data = {"grammar": {"path_src": str(self.train)}, "valid": {"path_src": str(self.valid)}}
        vocabulary = {"data": data, "src_vocab": str(self.vocabulary)}
        return {**vocabulary, **MODEL, **SCHEDULE, **BOTTLENECKS["gaussian"], "seed": 1, **changes}

    def yaml(self, path: Path, **changes: Any) -> Path:
        """Write :meth:`settings` as YAML to ``path``; a change to None leaves the option out."""
        settings = {k: v for k, v in self.settings(**changes).items() if v is not None}
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    def subwords(self, path: Path, kind: str = "sentencepiece", size: int = 400) -> Path:
        """Learn a subword model from the training text; return its path, which begins so."""
        if kind == "bpe":
            from subword_nmt.learn_bpe import learn_bpe

            with self.train.open(encoding="utf-8") as text, path.open("w", encoding="utf-8") as out:
                learn_bpe(text, out, num_symbols=60)
            return path
        from sentencepiece import SentencePieceTrainer

        words = {"input": str(self.train), "model_prefix": str(path), "minloglevel": 2}
        SentencePieceTrainer.train(**words, vocab_size=size)
        return path.with_suffix(".model")


def generator(seed: int = 0) -> torch.Generator:
    """Return a new generator."""
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def rng() -> torch.Generator:
    """A new generator."""
    return generator()


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return float64 numbers of the normal law."""
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def lines_of(count: int, seed: int) -> list[str]:
    """Return independent sentences of the embedded grammar."""
    rng = random.Random(seed)
    return [" ".join(english_grammar().sample(rng)) for _ in range(count)]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A small corpus of the grammar, its vocabulary built by the command line."""
    folder = tmp_path_factory.mktemp("corpus")
    valid = lines_of(90, 2)
    test = lines_of(70, 3)
    texts = {
        "train": lines_of(800, 1),
        "valid": [*valid[:40], "", *valid[40:]],
        "test": ["", *test[:50], "  ", "a zyzzyva sees the quagga", *test[50:]],
    }
    for name, lines in texts.items():
        (folder / f"{name}.en").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    paths = [folder / f"{name}.en" for name in ("train", "valid", "test")]
    corpus = Corpus(folder, *paths, folder / "vocab.txt")
    assert main(["build_vocab", "-config", str(corpus.yaml(folder / "vocab.yaml"))]) == 0
    return corpus


@pytest.fixture(scope="session")
def trained(corpus: Corpus) -> Trained:
    """Return the last checkpoint of a bottleneck of ``BOTTLENECKS``, trained when first asked."""
    made: dict[str, Path] = {}

    def checkpoint(name: str) -> Path:
        if name not in made:
            base = corpus.folder / name
            options = {"bottleneck_dim": None, **BOTTLENECKS[name], "save_model": str(base)}
            config = corpus.yaml(base.with_suffix(".yaml"), **options, bucket_size=2048)
            assert main(["train", "-config", str(config), "-log_file", f"{base}.log"]) == 0
            made[name] = Path(f"{base}_step_{SCHEDULE['train_steps']}.safetensors")
        return made[name]

    return checkpoint


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A folder of texts for a sweep, of a line each."""
    folder = tmp_path / "text"
    folder.mkdir()
    for name in ("train.en", "valid.en", "test.en"):
        (folder / name).write_text("a b\n", encoding="utf-8")
    return folder


@pytest.fixture(params=BOTTLENECKS)
def name(request: pytest.FixtureRequest) -> str:
    """Each bottleneck of ``BOTTLENECKS`` in turn."""
    return request.param


@pytest.fixture
def mistake(capfd: Capture) -> Mistake:
    """Return the one line on stderr by which a command refuses its words, with status 2."""

    def run(*words: object) -> str:
        capfd.readouterr()
        assert main([str(word) for word in words]) == 2
        err = capfd.readouterr().err
        *before, said = err.splitlines()
        assert said.startswith(f"onmt_lattice {words[0]}: error: "), err
        # Nothing else but the log of OpenNMT-py, once it has begun, and a progress bar.
        assert not before or " INFO] " in before[0] or "\r" in before[0] or not before[0], err
        assert "Traceback" not in err and "Warning" not in err
        return said

    return run


@pytest.fixture
def refused(corpus: Corpus, tmp_path: Path, mistake: Mistake) -> Mistake:
    """Return how ``train`` refuses words behind a good YAML file, and changes to that file."""

    def run(*words: object, **changes: Any) -> str:
        changes.setdefault("save_model", str(tmp_path / "model"))
        said = mistake("train", "-config", corpus.yaml(tmp_path / "a.yaml", **changes), *words)
        assert list(tmp_path.glob("model*")) == []
        return said

    return run


@pytest.fixture
def build(corpus: Corpus, tmp_path: Path) -> Build:
    """Return the trainer that the command line would start, with ``changes`` to the settings."""
    from onmt.utils.misc import set_random_seed

    from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint
    from onmt_lattice.opennmt.options import parsers as options
    from onmt_lattice.opennmt.training import launch as training
    from onmt_lattice.opennmt.training import plugin, process

    def trainer(**changes: Any) -> Any:
        import onmt.bin.train

        config = corpus.yaml(tmp_path / "build.yaml", save_model=str(tmp_path / "m"), **changes)
        plugin.install()
        opt = options.parse_train(["-config", str(config)])
        training.check_options(opt)
        plugin.resume_from(load_checkpoint(opt.train_from) if opt.train_from else None)
        set_random_seed(opt.seed, False)
        checkpoint, fields, _ = onmt.bin.train._init_train(opt)
        set_random_seed(opt.seed, False)
        return process.build(opt, fields, checkpoint, -1, 0)

    return trainer


def batch_of(trainer: Any, sentences: list[str], first_index: int = 0) -> Any:
    """Return ``sentences`` as a batch of OpenNMT-py's form: time first, longest first."""
    from onmt_lattice.opennmt.data.stream import moved

    field = trainer.model_saver.fields["tgt"].base_field
    ids = {token: field.vocab.stoi[token] for line in sentences for token in line.split()}
    pad, begin, end = (
        field.vocab.stoi[token] for token in (field.pad_token, field.init_token, field.eos_token)
    )
    order = sorted(range(len(sentences)), key=lambda i: -len(sentences[i].split()))
    rows = [[ids[token] for token in sentences[i].split()] for i in order]
    src, tgt = (
        pad_sequence([torch.tensor(row) for row in side], padding_value=pad)
        for side in (rows, [[begin, *row, end] for row in rows])
    )
    batch = SimpleNamespace(
        src=(src.unsqueeze(-1), torch.tensor([len(row) for row in rows])),
        tgt=tgt.unsqueeze(-1),
        batch_size=len(rows),
        indices=torch.tensor(order) + first_index,
    )
    return moved(batch, next(trainer.model.parameters()).device, pad)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes of a training are forks of this one, which are there at once."""
    context = torch.multiprocessing.get_context("fork")
    monkeypatch.setattr(torch.multiprocessing, "get_context", lambda method: context)


def assert_equal(a: Any, b: Any, where: str = "") -> None:
    """Assert that two nests of dictionaries, lists, tensors and plain values are bit-equal."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            assert_equal(left, right, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def run(*words: object) -> None:
    """Run a command to a good end."""
    assert main([*map(str, words)]) == 0


def train(config: Path, *words: object) -> None:
    """Train by the command line, to a good end."""
    run("train", "-config", config, *words)


def assert_same_end(one: Path, other: Path, step: int) -> None:
    """Assert that two runs have ended alike, bit for bit, and have told the same of it."""
    from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint

    once, twice = (
        load_checkpoint(Path(f"{base}_step_{step}.safetensors")) for base in (one, other)
    )
    for part in ("model", "generator", "optim", "onmt_lattice"):
        assert_equal(once[part], twice[part], part)
    assert timeless(one.with_suffix(".jsonl")) == timeless(other.with_suffix(".jsonl"))


def timeless(history: Path) -> list[dict[str, Any]]:
    """Return the entries of a history without what differs from run to run."""
    from onmt_lattice.opennmt.training.history import read_history

    clocks = ("seconds", "tokens_per_second")
    return [{k: v for k, v in entry.items() if k not in clocks} for entry in read_history(history)]


class Fork:
    """A command in a fork of this process, which has imported all that it needs: like a Popen.

    Its output is added to the file ``log``; of the open files it keeps no other but ``lock``.
    """

    def __init__(self, words: Iterable[object], log: Path, lock: int = 2, **env: str) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                status = self._run([*map(str, words)], log, lock, env)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)

    def _run(self, words: list[str], log: Path, lock: int, env: dict[str, str]) -> int:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1), os.dup2(file, 2)
        os.closerange(3, lock), os.closerange(max(lock, 2) + 1, 1024)
        sys.stdin, sys.stdout = open(os.devnull), open(1, "w", closefd=False)
        sys.stderr = open(2, "w", buffering=1, closefd=False)
        for started in (resource_tracker._resource_tracker, forkserver._forkserver):
            type(started).__init__(started)  # it is the parent's, whose pipes are closed here
        logging.getLogger().handlers.clear()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == 2 else signal.SIG_DFL)
        os.environ.update(env)
        try:
            return main(words)
        except SystemExit as stop:
            return int(stop.code or 0)
        finally:
            sys.stdout.flush()

    def poll(self) -> int | None:
        """Return the status of a command that has ended, below 0 if by a signal; else None."""
        return self._ask(os.WNOHANG)

    def wait(self) -> int | None:
        """Return the status of the command at its end."""
        return self._ask(0)

    def _ask(self, how: int) -> int | None:
        if self.returncode is None and (found := os.waitpid(self.pid, how))[0]:
            self.returncode = os.waitstatus_to_exitcode(found[1])
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to a command that has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def import_all() -> None:
    """Import what commands import as they run, so that no fork has to."""
    for name in ("quantize", "evaluate"):
        import_module(f"onmt_lattice.cli.{name}")
    for name in ("onmt_lattice.opennmt.training.launch", "torch._dynamo", "sacrebleu.metrics"):
        import_module(name)  # the second is the optimizer's


@pytest.fixture(scope="module")
def forked_sweeps() -> Iterator[None]:
    """The commands of a sweep are forks of this process; see test_install for a real one."""
    from onmt_lattice.experiments.sweep import processes
    from onmt_lattice.experiments.sweep.run import PROGRAM

    import_all()

    def launch(command: list[str], log: Path, lock: int, env: dict[str, str]) -> Fork:
        return Fork(command[len(PROGRAM) :], log, lock, **env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "launch", launch)
        yield


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to ask for its status does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children() -> list[Any]:
    """Return the processes that run here, but for idle ones that joblib keeps for later."""
    return [c for c in multiprocessing.active_children() if not c.name.startswith("Loky")]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Script:
    """Return how a file of ``scripts`` is run with words, as if typed, for the lines it prints."""

    def run(name: str, *words: object) -> list[str]:
        monkeypatch.setattr("sys.argv", [name, *map(str, words)])
        capsys.readouterr()
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run

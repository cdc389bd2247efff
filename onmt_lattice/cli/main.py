"""``onmt_lattice COMMAND ...``: find the command, run it, and report a user's mistake in a line."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType

from onmt_lattice import __version__
from onmt_lattice.errors import Interrupted, UserError, unknown_name

COMMANDS = {
    "build_vocab": "count the tokens of the training corpora",
    "train": "train an autoencoder through a bottleneck",
    "translate": "decode sentences from their quantized representations",
    "compress": "write the representations of a text to a file",
    "decompress": "turn such a file back into text",
    "inspect": "show what is in such a file, and where its bits go",
    "encode": "write every sentence's vector or lattice point to an array",
    "decode": "turn such vectors or points back to text",
    "pack": "compress vectors of any origin",
    "unpack": "write the vectors of such a file to an array",
    "quantize": "put a lattice in place of a trained model's Gaussian noise",
    "export": "write a folder to share a model with, its model card in it",
    "lattices": "list the lattices, and what each costs",
    "evaluate": "measure rate and NLL of a checkpoint on a text",
    "sweep": "train and evaluate a grid of models: Figure 3 with table and report",
    "plot": "draw rate against NLL from evaluations",
    "theory": "check the paper's theory by experiment: tables and figures",
    "prepare": "prepare the paper's data, from its archives to subword units",
    "demo": "train, evaluate and plot every bottleneck on the embedded corpus",
}

HOST = {  # those whose options are OpenNMT-py's: module and function
    "build_vocab": ("opennmt.commands.vocabulary", "build_vocab"),
    "train": ("opennmt.training.launch", "train"),
    "translate": ("opennmt.inference.search", "translate"),
}

# Errors of a disk that has no room, or takes nothing, and their cures.
DISK = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "; make room there, or choose another place"),
    **dict.fromkeys((errno.EROFS, errno.EFBIG, errno.EIO), "; choose another place"),
}

RESUMED = ("prepare", "sweep", "demo")  # commands that go on where they were stopped
OWN_STOP = ("train", "build_vocab", *RESUMED)  # those that see to SIGTERM themselves

NOISY_MODULES = (
    "onmt.models.sru",
    "onmt.modules.sparse_activations",
    "onmt.modules.sparse_losses",
    "onmt.trainer",
)


def usage() -> str:
    """Return the text of ``onmt_lattice --help``."""
    commands = "\n".join(f"  {name:<12} {what}" for name, what in COMMANDS.items())
    return (
        "usage: onmt_lattice COMMAND [options]\n\n"
        "Text autoencoders whose sentence representation is paid for in bits.\n"
        "Rates and NLL are in bits: per token, per word of the text, per sentence.\n\n"
        f"commands:\n{commands}\n\n"
        "'onmt_lattice COMMAND --help' describes a command.\n"
        "example: onmt_lattice demo"
    )


def quiet_opennmt() -> None:
    """Hide the deprecation warnings that OpenNMT-py and its torchtext raise; no others."""
    for module in (r"onmt(\.|$)", r"torchtext(\.|$)"):
        for category in (FutureWarning, DeprecationWarning, SyntaxWarning):
            warnings.filterwarnings("ignore", category=category, module=module)
    # A process that OpenNMT-py starts knows only the interpreter's options, which name no pattern.
    for name in NOISY_MODULES:
        option = f"ignore::FutureWarning:{name}"
        if option not in sys.warnoptions:
            sys.warnoptions.append(option)


def report(command: str, message: str) -> int:
    """Print a user's mistake as one line and return its exit status."""
    print(f"onmt_lattice {command}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _usable_streams() -> None:
    """Let no character that a stream cannot show be a reason to fail, nor a closed stream.

    A closed standard input or output stays None, and its descriptor goes to no file of a command;
    what reads or writes data there refuses it.
    """
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is not None:
            if name != "stdin" and hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
            continue
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest descriptor that is free: this one
        if name == "stderr":  # loggers and progress bars write to it without looking
            sys.stderr = open(os.devnull, "w", encoding="utf-8")


def _out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out, of this machine or, in torch's words, of a GPU."""
    kind, words = type(error).__name__, str(error)
    return kind in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in words


def _forget_output() -> None:
    """Keep what standard output no longer takes from being tried again at the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _stopped_in_order() -> Iterator[None]:
    """Let SIGTERM end what is done here as Ctrl-C does, so that no part of a file is left."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where Python has no signals
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number, f"stopped by {signal.Signals(number).name}")


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 for a user's mistake."""
    given = sys.argv[1:] if argv is None else argv
    _usable_streams()
    words = ["--help" if word == "-help" else word for word in given]
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"onmt_lattice {__version__}")
        return 0
    name, rest = words[0], words[1:]
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # what it starts imports nothing from this folder
    quiet_opennmt()
    try:
        if name not in COMMANDS:
            raise unknown_name("command", name, COMMANDS)
        with nullcontext() if name in OWN_STOP else _stopped_in_order():
            module, run = HOST.get(name, (f"cli.{name}", "run"))
            command = getattr(importlib.import_module(f"onmt_lattice.{module}"), run)
            status = command(rest)
        if sys.stdout is not None:
            sys.stdout.flush()
    except UserError as error:
        return report(name, str(error))
    except BrokenPipeError:
        _forget_output()
        return 128 + signal.SIGPIPE  # as of a process that the signal ends
    except OSError as error:
        if error.filename is None and error.errno not in DISK:
            raise
        if error.filename is None:
            _forget_output()
        cure = DISK.get(error.errno or 0, "")
        return report(name, f"{error.filename or 'standard output'}: {error.strerror}{cure}")
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return report(name, "out of memory; a smaller -batch_size or model needs less")
    except Interrupted as interruption:
        print(f"onmt_lattice {name}: {interruption}", file=sys.stderr)
        return interruption.status
    except KeyboardInterrupt:
        again = "; run again to resume" if name in RESUMED else ""
        print(f"onmt_lattice {name}: interrupted{again}", file=sys.stderr)
        return 130
    return status or 0

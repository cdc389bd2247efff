"""``onmt_lattice COMMAND ...``: run the command; report a user's mistake in one line."""

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
    "decompress": "decode such a file to text",
    "inspect": "show the content of such a file, and where its bits go",
    "encode": "write every sentence's vector or lattice point to an array",
    "decode": "decode such vectors or points to text",
    "pack": "compress vectors of any origin",
    "unpack": "write the vectors of such a file to an array",
    "quantize": "replace a trained model's Gaussian noise by a lattice",
    "export": "write a folder with a model and its card, to share it",
    "lattices": "list the lattices and their costs",
    "evaluate": "measure rate and NLL of a checkpoint on a text",
    "sweep": "train and evaluate a grid of models: Figure 3 with table and report",
    "plot": "draw rate against NLL from evaluations",
    "theory": "check the paper's theory by experiment: tables and figures",
    "prepare": "prepare the paper's data, from its archives to subword units",
    "demo": "train, quantize, evaluate and plot models of the embedded corpus",
}

FUNCTIONS = {  # module and function of commands that are not "run" in a module of their name
    "build_vocab": ("opennmt.commands.vocabulary", "build_vocab"),
    "train": ("opennmt.training.launch", "train"),
    "translate": ("opennmt.inference.search", "translate"),
    "encode": ("cli.vectors", "encode"),
    "decode": ("cli.vectors", "decode"),
}

DISK_CURES = {  # by error number: a full disk, then one that cannot be written to
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "; make room there, or choose another place"),
    **dict.fromkeys((errno.EROFS, errno.EFBIG, errno.EIO), "; choose another place"),
}

RESUMABLE = ("prepare", "sweep", "demo")  # commands that continue when they are run again
OWN_SIGNALS = ("train", "build_vocab", *RESUMABLE)  # commands with handlers of their own

NOISY_MODULES = (
    "onmt.models.sru",
    "onmt.modules.sparse_activations",
    "onmt.modules.sparse_losses",
    "onmt.trainer",
)


def usage() -> str:
    """Return the text of ``onmt_lattice --help``."""
    commands = "\n".join(f"  {name:<12} {summary}" for name, summary in COMMANDS.items())
    return (
        "usage: onmt_lattice COMMAND [options]\n\n"
        "Text autoencoders whose sentence representation is paid for in bits.\n"
        "Rates and NLL are in bits: per token, per word of the text, per sentence.\n\n"
        f"commands:\n{commands}\n\n"
        "'onmt_lattice COMMAND --help' describes a command.\n"
        "example: onmt_lattice demo"
    )


def quiet_opennmt() -> None:
    """Hide the deprecation warnings of OpenNMT-py and its torchtext; no others."""
    for module in (r"onmt(\.|$)", r"torchtext(\.|$)"):
        for category in (FutureWarning, DeprecationWarning, SyntaxWarning):
            warnings.filterwarnings("ignore", category=category, module=module)
    # A process that OpenNMT-py starts has only the interpreter's options, without patterns.
    for name in NOISY_MODULES:
        option = f"ignore::FutureWarning:{name}"
        if option not in sys.warnoptions:
            sys.warnoptions.append(option)


def report(command: str, message: str) -> int:
    """Print a user's mistake as one line and return its exit status."""
    print(f"onmt_lattice {command}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _usable_streams() -> None:
    """Make no command fail because a stream is closed, or cannot show a character.

    A closed standard input or output stays None, and its descriptor is reserved: no file of a
    command gets it.
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
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor: this one
        if name == "stderr":  # loggers and progress bars write to it without a check
            sys.stderr = open(os.devnull, "w", encoding="utf-8")


def _out_of_memory(error: Exception) -> bool:
    """Return whether the memory of this machine or of a GPU was not enough."""
    name, message = type(error).__name__, str(error)
    return name in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in message


def _discard_output() -> None:
    """Discard the buffer of a broken standard output, which Python would flush at the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise an exception in the body, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python has no signals there
        return
    handler = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number, f"stopped by {signal.Signals(number).name}")


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 for a user's mistake."""
    argv = sys.argv[1:] if argv is None else argv
    _usable_streams()
    words = ["--help" if word == "-help" else word for word in argv]
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"onmt_lattice {__version__}")
        return 0
    name, rest = words[0], words[1:]
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # children import nothing from this folder
    quiet_opennmt()
    try:
        if name not in COMMANDS:
            raise unknown_name("command", name, COMMANDS)
        with nullcontext() if name in OWN_SIGNALS else _interrupted_by_sigterm():
            module, run = FUNCTIONS.get(name, (f"cli.{name}", "run"))
            command = getattr(importlib.import_module(f"onmt_lattice.{module}"), run)
            status = command(rest)
        if sys.stdout is not None:
            sys.stdout.flush()
    except UserError as error:
        return report(name, str(error))
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE  # the status of a process that the signal ends
    except OSError as error:
        if error.filename is None and error.errno not in DISK_CURES:
            raise
        if error.filename is None:
            _discard_output()
        cure = DISK_CURES.get(error.errno or 0, "")
        return report(name, f"{error.filename or 'standard output'}: {error.strerror}{cure}")
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return report(name, "out of memory; a smaller -batch_size or model needs less")
    except Interrupted as interruption:
        print(f"onmt_lattice {name}: {interruption}", file=sys.stderr)
        return interruption.status
    except KeyboardInterrupt:
        cure = "; run again to resume" if name in RESUMABLE else ""
        print(f"onmt_lattice {name}: interrupted{cure}", file=sys.stderr)
        return 130
    return status or 0

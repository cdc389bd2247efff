"""Files that are written whole or not at all, and how they are read."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from onmt_lattice.errors import UserError, read_errors

try:
    import fcntl
except ImportError:  # on Windows, where the temporary files of killed processes stay
    fcntl = None  # type: ignore[assignment]

STANDARD = "-"  # standard input or output
CHECKPOINT = ".safetensors"  # the suffix of checkpoints
EXPORTED = f"model{CHECKPOINT}"  # the checkpoint in a folder of export
HUB = "hf://"  # before user/name of a model on a hub
_BLOCK = 1 << 20  # bytes


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it onto ``path`` if the body succeeds.

    On any exception, an interrupt included, the temporary file is removed and the old file at
    ``path`` stays. A missing directory is created. File and directory are on the disk when this
    returns, so that a power failure leaves the old or the new file, whole. Errors of the disk name
    ``path``. A symbolic link stays, and its target is written. For ``-`` the bytes go to standard
    output at the end. Temporary files of killed processes are removed.
    """
    if os.fspath(path) == STANDARD:
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder, "output")
            yield part
            with part.open("rb") as file:
                shutil.copyfileobj(file, standard_output())
            standard_output().flush()
        return
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with named_errors(target):
        handle, part = _new_part(target)
    try:
        with named_errors(target):
            yield part
            mask = os.umask(0)
            os.umask(mask)
            part.chmod(0o666 & ~mask)
            _sync(part)
            os.replace(part, target)
            _sync(target.parent)
    finally:
        part.unlink(missing_ok=True)
        os.close(handle)


def _new_part(target: Path) -> tuple[int, Path]:
    """Create a temporary file beside ``target``; return its descriptor, locked, and its path."""
    suffix = f".part{target.suffix}"
    for old in target.parent.glob(f".{glob.escape(target.name)}.????????{suffix}"):
        with suppress(OSError), old.open("rb") as file:
            if _lock(file.fileno()):
                old.unlink()
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=suffix)
        _lock(handle)
        if os.path.exists(name):  # another process may have removed it before it was locked
            return handle, Path(name)
        os.close(handle)


def _lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; return whether that was possible."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked by another process, or a file system without locks
        return False
    return True


@contextmanager
def named_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an ``OSError`` that names no file, or a temporary one of ``path``, name ``path``."""
    try:
        yield
    except OSError as error:
        name = Path(path).name
        if error.filename is None or Path(error.filename).name.startswith(f".{name}."):
            error.filename, error.filename2 = os.fspath(path), None
        raise


def _sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # not possible there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_parts(base: str | os.PathLike[str]) -> None:
    """Remove temporary files of killed processes, of the checkpoints under a ``base`` path."""
    target, suffix = Path(base), re.escape(CHECKPOINT)
    checkpoint = rf"{re.escape(target.name)}_(step_\d+|best){suffix}"
    name = re.compile(rf"\.{checkpoint}\.\w{{8}}\.part{suffix}")
    for part in target.parent.glob(".*.part*"):
        if name.fullmatch(part.name):
            part.unlink(missing_ok=True)


def check_output(path: str | os.PathLike[str], option: str) -> None:
    """Raise :class:`UserError`, before any work, if no file can be written to ``path``.

    The check leaves nothing there. ``-`` is standard output, which must be open.
    """
    name = os.fspath(path)
    if name == STANDARD:
        standard_output()
        return
    if os.path.isdir(name) or not os.path.basename(name):
        raise UserError(f"{option} {name}: is a folder; expected the path of a file")
    if os.path.exists(name) and not os.path.isfile(name):
        raise UserError(f"{option} {name}: is not an ordinary file, which could be replaced")
    _check_writable(Path(os.path.realpath(name)).parent, f"{option} {name}")


def check_folder(path: str | os.PathLike[str], option: str) -> None:
    """Raise :class:`UserError` if no files can be written to a folder at ``path``."""
    if os.path.exists(path) and not os.path.isdir(path):
        raise UserError(f"{option} {path}: is a file; expected a folder")
    _check_writable(Path(path), f"{option} {path}")


def _check_writable(folder: Path, label: str) -> None:
    """Write a small file to a folder, or to the nearest existing one above it, and remove it."""
    while not os.path.exists(folder):
        folder = folder.parent
    if not os.path.isdir(folder):
        raise UserError(f"{label}: {folder} is a file; choose another place")
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_BLOCK))
            file.flush()
    except OSError as error:
        raise UserError(
            f"{label}: nothing can be written to {folder} ({error.strerror}); choose another place"
        ) from error


def checkpoint_path(base: str | os.PathLike[str], step: int) -> Path:
    """Return the path of the checkpoint that training saves at ``step`` under a ``base`` path."""
    return Path(f"{os.fspath(base)}_step_{step}{CHECKPOINT}")


def checkpoints(base: str | os.PathLike[str]) -> dict[int, Path]:
    """Return the checkpoints under a ``base`` path by step, in order."""
    target = Path(base)
    name = re.compile(rf"{re.escape(target.name)}_step_(\d+){re.escape(CHECKPOINT)}")
    matches = ((name.fullmatch(path.name), path) for path in target.parent.glob(f"*{CHECKPOINT}"))
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def model_file(path: str | os.PathLike[str]) -> str:
    """Return the checkpoint at ``path``, or in the folder ``path`` that ``export`` has written.

    ``hf://user/name`` and ``hf://user/name@revision`` are downloaded once.
    """
    name = os.fspath(path)
    if name.startswith(HUB):
        return _download(name)
    if os.path.isdir(name):
        name = os.path.join(name, EXPORTED)
    if not os.path.isfile(name):
        raise UserError(f"checkpoint {name}: no such file")
    return name


def _download(name: str) -> str:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(f"{name}: needs a package: pip install huggingface_hub") from error
    repository, _, revision = name.removeprefix(HUB).partition("@")
    try:
        return hf_hub_download(repository, EXPORTED, revision=revision or None)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{name}: no {EXPORTED} of it on the hub or in the cache ({error}); expected "
            f"{HUB}user/name, of a folder that 'onmt_lattice export' has written"
        ) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> None:
    """Write ``lines``, each with a line feed, to ``path`` as UTF-8, whole or not at all."""
    write_text(path, "".join(f"{line}\n" for line in lines))


def standard_input() -> BinaryIO:
    """Return standard input as a stream of bytes."""
    if sys.stdin is None:
        raise UserError("-: standard input is closed; name a file")
    return sys.stdin.buffer


def standard_output() -> BinaryIO:
    """Return standard output as a stream of bytes."""
    if sys.stdout is None:
        raise UserError("-output -: standard output is closed; name a file")
    return sys.stdout.buffer


@contextmanager
def output_stream(path: str) -> Iterator[BinaryIO]:
    """Yield a file that is written to ``path``, whole or not at all; standard output for ``-``."""
    if path == STANDARD:
        yield standard_output()
        standard_output().flush()
        return
    with whole_file(path) as part, part.open("wb") as file:
        yield file


def read_bytes(path: str, option: str) -> bytes:
    """Return the bytes of the file that ``option`` names, or of standard input for ``-``."""
    with read_errors(f"{option} {path}"):
        return standard_input().read() if path == STANDARD else Path(path).read_bytes()


def write_json(path: str | os.PathLike[str], value: Any, indent: int | None = 2) -> None:
    """Write ``value`` to ``path`` as JSON, whole or not at all; on one line if ``indent`` is None.

    Numbers that are not finite become Python's NaN and Infinity, which :func:`read_json` reads.
    """
    write_text(path, json.dumps(value, indent=indent) + "\n")


def read_json(path: str | os.PathLike[str], expected: str) -> Any:
    """Return the content of the JSON file at ``path``; errors say what was ``expected``."""
    try:
        with read_errors(f"{path}"):
            return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON; expected {expected}") from error


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()

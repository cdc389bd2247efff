"""The exceptions: a user's mistake, a signal, and bytes that cannot be decoded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Interrupted(Exception):
    """A signal stopped a command, which has left nothing half-written.

    Attributes:
        status: the exit status, 128 and the signal's number.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.status = 128 + number


class UserError(Exception):
    """A mistake of the user: a wrong option, file or name.

    The message names the value, what was expected and the cure. The command line prints it in one
    line, without a traceback, and exits with status 2. Whatever reads options or files may raise
    it; docstrings mention that only where a caller handles it.
    """


def unknown_name(
    concept: str, name: object, valid: Iterable[str], where: str | None = None
) -> UserError:
    """Return the error for a ``name`` that is not ``valid``, with the nearest that is.

    It lists all that are, or says ``where`` they are listed.
    """
    valid = sorted(valid)
    near = difflib.get_close_matches(str(name).lower(), [v.lower() for v in valid], n=1, cutoff=0.6)
    hint = next((f"; did you mean {v!r}?" for v in valid if near and v.lower() == near[0]), "")
    listed = where or f"valid: {', '.join(valid)}"
    return UserError(f"unknown {concept} {name!r}{hint} ({listed})")


@contextmanager
def error_prefix(
    prefix: str, error_types: type[Exception] | tuple[type[Exception], ...] = UserError
) -> Iterator[None]:
    """Turn an error of ``error_types`` into a :class:`UserError` that begins with ``prefix``."""
    try:
        yield
    except error_types as error:
        raise UserError(f"{prefix}: {error}") from error


@contextmanager
def read_errors(name: str) -> Iterator[None]:
    """Turn an ``OSError`` into a :class:`UserError`: what ``name`` names cannot be read."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror})") from error


class BitstreamError(UserError):
    """Bytes that cannot be decoded: the base class of all errors of decoding."""


class NotABitstream(BitstreamError):
    """Not a file of this format, or of a version or mode that this release does not know."""


class DamagedBitstream(BitstreamError):
    """A file that was altered or cut short, or has bytes after its end."""


class WrongCode(BitstreamError):
    """A complete file, but of another model, code or seed, or of other sentences."""

"""The exceptions: a user's mistake, a signal, and bytes that do not decode."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Interrupted(Exception):
    """A signal stopped a command, which has left nothing half-written.

    Attributes:
        status: the exit status, 128 and the signal's number.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.status = 128 + number


class UserError(Exception):
    """A mistake in what the user gave: an option, a file, a name.

    The message names the value, what was expected and the cure. The command line prints it as
    one line and exits with status 2; no traceback is shown.
    """


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> UserError:
    """Return the error for a ``name`` that is none of the ``valid`` ones, nearest first."""
    valid = sorted(valid)
    near = difflib.get_close_matches(str(name).lower(), [v.lower() for v in valid], n=1, cutoff=0.6)
    hint = next((f"; did you mean {v!r}?" for v in valid if near and v.lower() == near[0]), "")
    return UserError(f"unknown {kind} {name!r}{hint} (valid: {', '.join(valid)})")


class BitstreamError(UserError):
    """Bytes that do not decode: the base of all errors that decoding raises."""


class NotABitstream(BitstreamError):
    """Bytes that are not a file of this format, or of a version or mode unknown here."""


class DamagedBitstream(BitstreamError):
    """A file that is not as it was written: altered, cut short, or with bytes after its end."""


class WrongCode(BitstreamError):
    """A whole file, but of another model, code or seed, or of other sentences."""

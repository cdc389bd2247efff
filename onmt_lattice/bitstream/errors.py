"""What bytes that do not decode raise."""

from __future__ import annotations

from onmt_lattice.errors import UserError


class BitstreamError(UserError):
    """Bytes that do not decode: the base of all errors that decoding raises."""


class NotABitstream(BitstreamError):
    """Bytes that do not begin as a file of a version known here."""


class DamagedBitstream(BitstreamError):
    """A file that is not as it was written: altered, cut short, or with bytes after its end."""


class WrongCode(BitstreamError):
    """A file that another model or code has written, or one of other sentences."""

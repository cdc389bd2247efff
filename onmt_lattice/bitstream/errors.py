"""What bytes that do not decode raise."""

from __future__ import annotations

from onmt_lattice.errors import UserError


class BitstreamError(UserError):
    """Bytes that do not decode: the base of all errors that decoding raises."""


class NotABitstream(BitstreamError):
    """Bytes that do not begin as a block or file of a version known here."""


class TruncatedBitstream(BitstreamError):
    """A block or file whose end is missing."""


class ExtendedBitstream(BitstreamError):
    """A block or file with bytes after its end."""


class AlteredBitstream(BitstreamError):
    """A block or file that is not as it was written."""


class WrongCode(BitstreamError):
    """A block that another code, with other scales or for other sentences, has written."""


class WrongText(BitstreamError):
    """Text that came out as another than went in, and is not given out."""


class WrongModel(BitstreamError):
    """A file that another model has written."""

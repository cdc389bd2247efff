"""What ``torch.save`` has written, read without running code and in memory bounded by the file.

The archive is a zip file, its entries not compressed: a pickle of protocol 2, and the bytes of each
storage. ``torch.load`` calls the classes that a pickle names with arguments of the pickle's
choosing, and believes what it says of the sizes of storages. Here a pickle makes what a checkpoint
consists of, and nothing else.
"""

from __future__ import annotations

import argparse
import codecs
import collections
import functools
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
import torchtext.data.field
import torchtext.data.utils
import torchtext.vocab
from onmt.inputters import text_dataset
from torch import Tensor

from onmt_lattice.errors import UserError

DEPTH = 32  # of values in values
SHARING = 8  # how often, on average, a byte of the file may be met in what it holds
MOST_DIMS = 8
EXPECTED = "; expected a file that training has saved"
BIGGEST = 2**64  # integers beyond are no part of a checkpoint

DTYPES = {
    f"{name}Storage": dtype
    for name, dtype in (
        *(("Float", torch.float32), ("Double", torch.float64), ("Half", torch.float16)),
        *(("BFloat16", torch.bfloat16), ("Long", torch.int64), ("Int", torch.int32)),
        *(("Short", torch.int16), ("Char", torch.int8), ("Byte", torch.uint8)),
        ("Bool", torch.bool),
    )
}


class DamagedError(Exception):
    """An archive that is not as ``torch.save`` would have written it; the message says in what."""


class NoCheckpointError(Exception):
    """A file of another kind; the message says of which."""


class RefusedError(Exception):
    """A pickle that asks for something no checkpoint holds; the message is its name."""


def read_archive(path: str | os.PathLike[str]) -> Any:
    """Return what ``torch.save`` has written to ``path``, tensors on the CPU.

    Raises:
        UserError: if it is something else, is damaged, or asks for what no checkpoint holds.
    """
    with open(path, "rb") as file:
        begin = file.read(4096)
        if not begin.startswith(b"PK\x03\x04"):
            raise UserError(f"checkpoint {path}: {_described(begin)}")
        try:
            with zipfile.ZipFile(file) as archive:
                value = _Archive(archive, os.path.getsize(path)).value()
            check_parts(value, SHARING * os.path.getsize(path))
        except NoCheckpointError as error:
            raise UserError(f"checkpoint {path}: {error}{EXPECTED}") from error
        except RefusedError as error:
            raise UserError(
                f"checkpoint {path}: refused, as it would load {error}, which no checkpoint of "
                f"onmt_lattice holds and which could run code; get the file from a source you trust"
            ) from error
        except DamagedError as error:
            raise UserError(f"checkpoint {path}: damaged: {error}") from error
        except Exception as error:  # garbage makes zipfile and the unpickler fail in any way
            raise UserError(f"checkpoint {path}: not a checkpoint, or damaged") from error
    return value


def _described(begin: bytes) -> str:
    """Say what a file is that is no archive, from its first bytes."""
    if not begin:
        return f"is empty, not a checkpoint{EXPECTED}"
    if begin[:1] == b"\x80":
        return (
            "refused, as it is a bare pickle, which no checkpoint of onmt_lattice is and which "
            "could run code; get the file from a source you trust"
        )
    if begin[:3] in (b"OLZ", b"olz"):
        return f"is a file of 'onmt_lattice compress', not a checkpoint{EXPECTED}"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        text = "\0"
    kind = "not a checkpoint, or damaged" if "\0" in text else "is a text, not a checkpoint"
    return f"{kind}{EXPECTED}"


class _Storage(NamedTuple):
    """What the pickle says of a storage: a name and the numbers in it."""

    dtype: torch.dtype
    key: str
    numbers: int


class _Archive:
    """The entries of an archive of so many bytes."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        entries = archive.infolist()
        roots = [n.removesuffix("data.pkl") for n in archive.namelist() if n.endswith("/data.pkl")]
        if not roots:
            raise NoCheckpointError("is a zip archive, not a checkpoint")
        if any(e.compress_type != zipfile.ZIP_STORED for e in entries):
            raise DamagedError("its entries are compressed")
        if sum(e.file_size for e in entries) > size:
            raise DamagedError("its entries are larger than the file")
        if len(roots) > 1:
            raise DamagedError("it holds several")
        self.archive, self.root = archive, roots[0]
        self.storages: dict[str, tuple[_Storage, Tensor]] = {}

    def value(self) -> Any:
        """Return what was saved."""
        order = f"{self.root}byteorder"
        if order in self.archive.namelist() and self._bytes("byteorder") != sys.byteorder.encode():
            raise DamagedError(f"written in another byte order than this machine's {sys.byteorder}")
        return _Unpickler(io.BytesIO(self._bytes("data.pkl")), self.tensor).load()

    def _bytes(self, name: str) -> bytes:
        return self.archive.read(self.root + name)

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
        """Return a tensor of a storage; stands for torch's ``_rebuild_tensor_v2``."""
        numbers = self._numbers(storage)
        _require_sizes((offset,), size, stride)
        if len(size) != len(stride) or len(size) > MOST_DIMS:
            raise DamagedError(f"a tensor of shape {size} and strides {stride}")
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if 0 not in size and last >= len(numbers):
            raise DamagedError(f"a tensor of shape {size} in a storage of {len(numbers)} numbers")
        return numbers.as_strided(size, stride, offset if 0 not in size else 0)

    def _numbers(self, storage: Any) -> Tensor:
        """Return all numbers of a storage, read once."""
        if not isinstance(storage, _Storage):
            raise DamagedError("a tensor without a storage")
        held = self.storages.get(storage.key)
        if held is None:
            data = bytearray(self._bytes(f"data/{storage.key}"))
            if len(data) != storage.numbers * storage.dtype.itemsize:
                raise DamagedError(f"a storage of {storage.numbers} numbers in {len(data)} bytes")
            numbers = torch.frombuffer(data, dtype=storage.dtype) if data else torch.empty(0)
            held = self.storages[storage.key] = storage, numbers.to(storage.dtype)
        if held[0] != storage:
            raise DamagedError("a storage of two kinds")
        return held[1]


def _require_sizes(*of: Any) -> None:
    for sizes in of:
        if not isinstance(sizes, tuple) or not all(
            type(n) is int and 0 <= n < 2**48 for n in sizes
        ):
            raise DamagedError(f"a tensor of shape {str(sizes)[:60]}")


# ---- the pickle ----------------------------------------------------------------------------------

_OPCODES = frozenset(
    "PROTO MARK STOP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS "
    "BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL NEWOBJ REDUCE BUILD BINPERSID".split()
)
_CODES = {getattr(pickle, name)[0]: name for name in _OPCODES}

# Objects made without arguments, and given their attributes.
_MADE: dict[str, type] = {
    "argparse Namespace": argparse.Namespace,
    "onmt.inputters.text_dataset TextMultiField": text_dataset.TextMultiField,
    "torchtext.data.field Field": torchtext.data.field.Field,
    "torchtext.vocab Vocab": torchtext.vocab.Vocab,
}
_NAMED: dict[str, Any] = {
    "onmt.inputters.text_dataset _feature_tokenize": text_dataset._feature_tokenize,
    "torchtext.data.utils _split_tokenizer": torchtext.data.utils._split_tokenizer,
    **{f"torch {name}": dtype for name, dtype in DTYPES.items()},
}


def _ordered(*arguments: Any) -> collections.OrderedDict[Any, Any]:
    if arguments:
        raise DamagedError("an ordered dictionary of arguments")
    return collections.OrderedDict()


def _counter(counts: Any) -> collections.Counter[Any]:
    if type(counts) is not dict:
        raise DamagedError("counts that are not a dictionary")
    return collections.Counter(counts)


def _set(items: Any) -> set[Any]:
    if not isinstance(items, list) or not all(type(item) is str for item in items):
        raise DamagedError("a set of something else than names")
    return set(items)


def _partial(function: Any, *arguments: Any) -> Any:
    if function is not text_dataset._feature_tokenize or arguments:
        raise DamagedError("a function of arguments that no field has")
    return functools.partial(function)


_CALLED: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _ordered,
    "collections Counter": _counter,
    "__builtin__ set": _set,
    "functools partial": _partial,
}


_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined, unused-ignore]


class _Unpickler(_PythonUnpickler):
    """Python's unpickler, with a few of its instructions, which make no more than is listed here.

    The one written in C reserves memory for any number that a file may say.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        code: function for code, function in _PythonUnpickler.dispatch.items() if code in _CODES
    }

    def __init__(self, file: io.BytesIO, tensor: Callable[..., Tensor]) -> None:
        super().__init__(file)
        self.called = {**_CALLED, "torch._utils _rebuild_tensor_v2": tensor}
        self.callable = {id(function) for function in self.called.values()}

    def find_class(self, module: str, name: str) -> Any:
        for table in (self.called, _MADE, _NAMED):
            if found := table.get(f"{module} {name}"):
                return found
        raise RefusedError(f"{module}.{name}")

    def persistent_load(self, said: Any) -> _Storage:
        kind, dtype, key, _, count = said
        if kind != "storage" or not isinstance(dtype, torch.dtype) or type(key) is not str:
            raise DamagedError("a storage of no known kind")
        _require_sizes((count,))
        return _Storage(dtype, key, count)

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if id(function) not in self.callable or type(arguments) is not tuple:
            raise DamagedError("an object made of arguments")
        self.stack.append(function(*arguments))

    def load_newobj(self) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        if type(arguments) is not tuple or arguments or cls not in _MADE.values():
            raise DamagedError("an object made of arguments")
        self.stack.append(cls.__new__(cls))

    def load_build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, functools.partial):
            function, arguments, state, _ = state
            _partial(function, *arguments)
        if type(state) is not dict or not all(type(name) is str for name in state):
            raise DamagedError("an object whose attributes have no names")
        if isinstance(made, functools.partial):
            made.__setstate__((made.func, (), state, None))  # type: ignore[attr-defined]
        elif isinstance(made, torchtext.data.field.Field):
            if state.get("dtype") != "int64":
                raise DamagedError("a field of something else than the indices of tokens")
            vars(made).update(state, dtype=torch.int64)
        elif isinstance(made, torchtext.vocab.Vocab):
            if type(state.get("stoi")) is not dict:
                raise DamagedError("a vocabulary without indices")
            made.__setstate__(state)
        elif isinstance(made, (*_MADE.values(), collections.OrderedDict)):
            vars(made).update(state)
        else:
            raise DamagedError("attributes of what has none")

    def _set_items(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, dict) or not all(type(k) in (str, int) for k in items[::2]):
            raise DamagedError("a dictionary whose keys are not names")
        target.update(zip(items[::2], items[1::2], strict=True))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items(self.stack[-1], [key, value])

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self._set_items(self.stack[-1], items)

    for _name in ("reduce", "newobj", "build", "setitem", "setitems"):
        dispatch[getattr(pickle, _name.upper())[0]] = locals()[f"load_{_name}"]


def check_parts(value: Any, most: int) -> None:
    """Check that walking through ``value`` is no more work than its file may make.

    A value may stand in several places, and so in more than anyone can count.

    Args:
        value: of dictionaries, lists, objects, tensors and plain values.
        most: how many values, characters and bytes it may hold, counted wherever they stand.

    Raises:
        DamagedError: if it holds more, is nested too deeply, or holds what no checkpoint does.
    """
    left, todo = most, [(value, 0)]
    while todo:
        part, depth = todo.pop()
        inner: list[Any] = []
        left -= 1
        if isinstance(part, str):
            left -= len(part)
        elif isinstance(part, Tensor):
            left -= part.numel() * part.itemsize
        elif isinstance(part, bool | float | torch.dtype | None):
            pass
        elif isinstance(part, int):
            if abs(part) >= BIGGEST:
                raise DamagedError("an integer of more than 64 bits")
        elif isinstance(part, dict):
            inner = [*part, *part.values()]
        elif isinstance(part, list | tuple | set):
            inner = [*part]
        elif isinstance(part, functools.partial):
            inner = [part.keywords]
        elif not callable(part):
            inner = [vars(part)]
        left -= len(inner)
        if left < 0 or depth > DEPTH:
            raise DamagedError("its parts hold more than the file can")
        todo += [(each, depth + 1) for each in inner]

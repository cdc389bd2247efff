"""Archives by hand: nothing is run, and no more time and memory is taken than the file is worth."""

from __future__ import annotations

import io
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torchtext.vocab import Vocab

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.archive import read_archive

FLOATS = b"ctorch\nFloatStorage\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def write(
    path: Path, data: bytes, records: dict[str, bytes] | None = None, how: int = zipfile.ZIP_STORED
) -> Path:
    """Write an archive of the pickle ``data`` and of storages."""
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("a/data.pkl", data)
        for key, record in (records or {}).items():
            archive.writestr(f"a/data/{key}", record)
    return path


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if abs(value) < 2**31 else pickle.dumps(value, 2)[2:-1]


def text(value: str) -> bytes:
    return b"X" + struct.pack("<i", len(value)) + value.encode()


def sizes(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(count: int, size: bytes, stride: bytes, offset: int = 0) -> bytes:
    """Return the pickle of a tensor in the storage ``0``, said to be of ``count`` numbers."""
    storage = b"(" + text("storage") + FLOATS + text("0") + text("cpu") + number(count) + b"tQ"
    return REBUILD + b"(" + storage + number(offset) + size + stride + b"\x89NtR"


def doubled(begin: bytes, times: int) -> bytes:
    """Return the pickle of a value that holds the one before twice, again and again."""
    return begin + b"".join(b"q%c(h%ch%ct" % (i, i, i) for i in range(times))


HOSTILE: dict[str, tuple[bytes, dict[str, bytes], str]] = {
    "a storage larger than its bytes": (
        tensor(10**9, sizes(10**9), sizes(1)), {"0": bytes(4)}, "a storage of 1000000000 numbers"
    ),
    "a tensor larger than its storage": (
        tensor(1, sizes(10**6, 10**6), sizes(10**6, 1)), {"0": bytes(4)}, "in a storage of 1 num"
    ),
    "a tensor that repeats its storage": (
        tensor(1, sizes(10**6, 10**6), sizes(0, 0)), {"0": bytes(4)}, "more than the file can"
    ),
    "a negative stride": (
        tensor(1, sizes(2), sizes(-1)), {"0": bytes(4)}, "a tensor of shape (-1,)"
    ),
    "a negative offset": (tensor(1, sizes(1), sizes(1), -1), {"0": bytes(4)}, "tensor of shape"),
    "a shape of no numbers": (tensor(1, b"K\x01", sizes(1)), {"0": bytes(4)}, "a tensor of shape"),
    "a storage that is missing": (tensor(1, sizes(1), sizes(1)), {}, "damaged"),
    "tuples that double": (doubled(b")", 100), {}, "its parts hold more than the file can"),
    "a key that takes for ever to hash": (
        b"}" + doubled(b")", 100) + b"Ns", {}, "a dictionary whose keys are not names"
    ),
    "lists in lists": (b"]" * 5000 + b"a" * 4999, {}, "its parts hold more than the file can"),
    "a memo of 2^31 places": (b"Nr\xff\xff\xff\x7f", {}, ""),
    "bytes of 2^62": (b"\x8e" + struct.pack("<Q", 2**62), {}, "damaged"),
    "a list in itself": (b"]q\x00h\x00a", {}, "its parts hold more than the file can"),
    "an integer of a thousand digits": (
        b"\x8a\xff" + b"\x7f" * 255, {}, "an integer of more than 64 bits"
    ),
    "a vocabulary with vectors to download": (
        b"ctorchtext.vocab\nVocab\n(ccollections\nCounter\n(}tR" + text("glove.6B.50d") + b"tR",
        {},
        "an object made of arguments",
    ),
    "a function called": (
        b"conmt.inputters.text_dataset\n_feature_tokenize\n(" + text("a b") + b"tR", {}, "arguments"
    ),
    "a class changed": (
        b"ctorchtext.vocab\nVocab\n}" + text("extend") + b"Nsb", {}, "attributes of what has none"
    ),
    "code": (b"cposix\nsystem\n(" + text("touch x") + b"tR", {}, "would load posix.system, which"),
    "code by an old instruction": (b"(" + text("true") + b"iposix\nsystem\n", {}, "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_at_once(tmp_path: Path, name: str) -> None:
    data, records, said = HOSTILE[name]
    path = write(tmp_path / "a.pt", b"\x80\x02" + data + b".", records)
    tracemalloc.start()
    start = time.process_time()
    try:
        assert read_archive(path) is None and not said
    except UserError as error:
        assert said and said in str(error) and f"checkpoint {path}: " in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.process_time() - start < 1 and peak < 2**24


def test_compressed_or_overlapping_entries_are_refused(tmp_path: Path) -> None:
    bomb = pickle.dumps("a" * 2**24, 2)
    path = write(tmp_path / "a.pt", bomb, how=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**16
    with pytest.raises(UserError, match="damaged: its entries are compressed"):
        read_archive(path)
    path = write(tmp_path / "b.pt", pickle.dumps(None, 2), {"0": bytes(1000)})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<II", 1000, 1000), struct.pack("<II", 2**30, 2**30)))
    with pytest.raises(UserError, match="damaged"):
        read_archive(path)


@pytest.mark.parametrize("size", [(), (0,), (3, 4), (0, 5), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8, torch.bfloat16])
def test_a_tensor_comes_back_as_it_was(
    tmp_path: Path, size: tuple[int, ...], dtype: torch.dtype
) -> None:
    whole = (torch.rand(size) * 100).to(dtype)
    held = [whole, whole.T if whole.dim() == 2 else whole, whole.flatten()[1:], torch.rand(2)]
    torch.save({"a": held, "b": OrderedDict(c=(1, None, "ü", 2.5, True))}, tmp_path / "a.pt")
    got: Any = read_archive(tmp_path / "a.pt")
    assert got["b"] == {"c": (1, None, "ü", 2.5, True)}
    for one, other in zip(got["a"], held, strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_bare_pickle_of_anything_is_refused(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(pickle.dumps({"a": Vocab}, protocol))
    with pytest.raises(UserError, match="refused, as it is a bare pickle"):
        read_archive(path)


def test_other_files_are_called_what_they_are(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "text")
    for content, said in (
        (b"", "is empty, not a checkpoint"),
        (b"layers: 2\nrnn_size: 500\n", "is a text, not a checkpoint"),
        ("köln\t3\n".encode() * 1000, "is a text, not a checkpoint"),
        (b"OLZ\1...", "is a file of 'onmt_lattice compress', not a checkpoint"),
        (packed.getvalue(), "is a zip archive, not a checkpoint"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not a checkpoint, or damaged"),
    ):
        path = tmp_path / "a.pt"
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"checkpoint {path}: {said}"):
            read_archive(path)

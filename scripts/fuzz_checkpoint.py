#!/usr/bin/env python3
"""Load damaged and hand-made checkpoints: each has to be refused, or to be a model."""

from __future__ import annotations

import copy
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import scripting
import numpy as np
from fuzzing import Case, Rng, damaged, run, table
from torch import Tensor

from onmt_lattice.errors import UserError

DESCRIPTION = """\
A checkpoint is damaged as a file: bits and bytes changed, cut, parts moved. Each such file has to
be refused in a line that names it. Or its contents are changed, with a digest that agrees: a value
of its text is replaced by one of another type or size or left out, a tensor is changed, or an
option, or the vocabulary. Each of these has to be refused in such a line too, or to load. A
checkpoint fails by any other exception, and by taking more than five seconds; the run fails by more
than 512 MiB of memory on top of what it had after the first checkpoints. A failure keeps the file
and ends with status 1.
"""
GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
NAMES = ("lattice_conv16", "ste_vector", "lattice_E8")
MODELS = [GOLDEN / f"{name}.safetensors" for name in NAMES]
Tensors = dict[str, Tensor]
Values = dict[str, Any]

ODD: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 7, 2**31, 10**7, 2**63, 0.0, -1.5, 1e300, float("nan"), float("inf")),
    *("", "Z", "none", "x" * 1000, "Z^99999999999", "/etc/passwd", "\0", "\n", "\udcff"),
    *([], {}, [0], [None], ["a", "b"], {"a": 1}, {"1": "a"}, [[[[]]]], {"transforms": []}),
)


def slots(value: Any) -> list[tuple[Any, Any]]:
    """Return the containers and keys of all values in ``value``, dictionaries' 20 times."""
    items = enumerate(value) if isinstance(value, list) else value.items()
    inner = [slot for _, item in items if isinstance(item, dict | list) for slot in slots(item)]
    names = range(len(value)) if isinstance(value, list) else list(value) * 20
    return [*inner, *((value, name) for name in names)]


def odd(rng: Rng) -> Any:
    """Return a value that does not belong anywhere."""
    return copy.deepcopy(ODD[rng.integers(len(ODD))])


def replace(_: Tensors, values: Values, rng: Rng) -> None:
    """Replace or remove a value."""
    every = slots(values)
    container, name = every[rng.integers(len(every))]
    if rng.random() < 0.3:
        del container[name]
    else:
        container[name] = odd(rng)


def reshape(tensors: Tensors, _: Values, rng: Rng) -> None:
    """Leave out a tensor, or change its name, its shape, its type, or its numbers."""
    name = list(tensors)[rng.integers(len(tensors))]
    tensor, choice = tensors.pop(name), rng.integers(13)
    if choice == 0:
        return
    if choice == 1:
        name = (name + "_", "a", "model." + name, "files.x", "random.9.torch")[rng.integers(5)]
    tensors[name] = (
        *(tensor, tensor, tensor[:-1] if tensor.dim() else tensor.view(1), tensor.flatten()),
        *(tensor.unsqueeze(0), tensor.T.contiguous() if tensor.dim() == 2 else tensor),
        *(tensor.long(), tensor.double(), tensor.half(), tensor * float("nan")),
        *(tensor.float() * 1e30, tensor.flatten().repeat(2), tensor.bool()),
    )[choice]


def misstate(_: Tensors, values: Values, rng: Rng) -> None:
    """Change an option."""
    options = values["options"]
    sizes = [
        n for n in options if n.endswith(("size", "layers", "dim", "levels", "slots", "heads"))
    ]
    own = "bottleneck bottleneck_site lattice lattice_code prior rnn_type share_embeddings".split()
    own += "encoder_type decoder_type global_attention self_attn_type transformer_ff".split()
    names = (sizes, own, list(options))[rng.integers(3)]
    texts = ["E8", "Leech", "A2000", "conv64", "all", "top", "LSTM", "GRU", "learned", "unit"]
    texts += ["bottleneck_brnn", "bottleneck_transformer", "transformer", "rnn", "dot", "average"]
    texts += ["lattice", "gaussian", "ste_scalar", "none", "convolved_gaussian", "other"]
    value = (rng.integers(1, 40).item(), texts[rng.integers(len(texts))], odd(rng))
    options[names[rng.integers(len(names))]] = value[rng.integers(3)]


def reword(_: Tensors, values: Values, rng: Rng) -> None:
    """Change the vocabulary."""
    tokens = values["vocabulary"]
    at, choice = int(rng.integers(len(tokens))), rng.integers(4)
    if choice == 0:
        tokens[at] = (odd(rng), tokens[0])[rng.integers(2)]
    elif choice == 1:
        del tokens[at]
    elif choice == 2:
        tokens += [f"new{i}" for i in range(rng.integers(1, 100))]
    else:
        tokens.reverse()


CHANGES: tuple[Callable[[Tensors, Values, Rng], None], ...]
CHANGES = (replace, reshape, misstate, reword)


def use(path: Path) -> None:
    """Load the model."""
    from onmt_lattice.opennmt.checkpoint.loading import load_autoencoder

    load_autoencoder(path)


def write(source: Path, target: Path, rng: Rng) -> tuple[str, bool]:
    """Write a changed checkpoint; return its name, and whether it damages the file."""
    from onmt_lattice.tensor_file import read_file, write_file

    if rng.random() < 0.5:
        whole = source.read_bytes()
        name, data = damaged(whole, whole[::-1], rng)
        while data == whole:
            name, data = damaged(whole, whole[::-1], rng)
        target.write_bytes(data)
        return name, True
    tensors, values = read_file(source)
    change = CHANGES[rng.integers(len(CHANGES))]
    change(tensors, values, rng)
    write_file(target, tensors, values)
    return change.__name__, False


def outcome(path: Path, is_damaged: bool) -> str:
    """Return how a checkpoint ends: ``refused``, or as ``a model``.

    Raises:
        AssertionError: if it ends as it should not.
    """
    try:
        use(path)
    except UserError as error:
        assert str(path) in str(error), repr(error)
        assert "\n" not in str(error), repr(error)
        return "refused"
    assert not is_damaged, "a damaged file was accepted"
    return "a model"


def cases(models: list[Path], files: int, seed: int, folder: Path) -> Iterator[Case]:
    """Yield changed checkpoints, of the models in turn."""
    for model in models:
        use(model)  # so that kernels are compiled, which takes long
    for number in range(files):
        rng = np.random.default_rng((seed, number))
        model, path = models[number % len(models)], folder / "changed.safetensors"
        change, is_damaged = write(model, path, rng)
        copied = Path(f"fuzz_{seed}_{number}.safetensors").absolute()
        yield Case(change, partial(outcome, path, is_damaged), partial(save_copy, path, copied))


def save_copy(path: Path, copy: Path) -> str:
    """Copy the checkpoint at ``path``, and return where it is."""
    copy.write_bytes(path.read_bytes())
    return f"see {copy}"


def main() -> None:
    """Fuzz, and print the outcomes."""
    parser = scripting.parser(DESCRIPTION)
    parser.add_argument("-files", type=int, default=1000)
    parser.add_argument("-seed", type=int, default=0)
    parser.add_argument("-models", nargs="*", type=Path, default=MODELS, help="checkpoints")
    args = parser.parse_args()
    from onmt_lattice.opennmt.training import plugin

    plugin.install()
    logging.disable(logging.WARNING)
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            changed = cases(args.models, args.files, args.seed, Path(folder))
            ends = run(changed, first=20 * len(args.models))
    finally:
        logging.disable(logging.NOTSET)
    print(table(ends))
    seconds = time.perf_counter() - start
    print(f"{args.files} checkpoints in {seconds:.0f} s: each refused, or a model")


if __name__ == "__main__":
    scripting.run(main)

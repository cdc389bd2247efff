#!/usr/bin/env python3
"""Load damaged and hand-made checkpoints: each has to be refused, or to be a model."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import tempfile
import time
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzzing import Case, run, table

from onmt_lattice.cli.main import quiet_opennmt
from onmt_lattice.errors import UserError

DESCRIPTION = """\
A checkpoint is damaged as a file: bits and bytes changed, cut, parts moved; as an archive: entries
compressed, left out, or of another size; or as what it holds: a value anywhere replaced by one of
another type or size, left out, or added, options and vocabulary more often than others. Of the
last, a third goes with the digest of before, a third with one that agrees, and a third without, as
if an earlier version had written it. Each has to be refused in a line that names the file, or to
load; with the results of before, unless its digest was made anew. What loads is evaluated on some
sentences, and training goes on from it. A checkpoint fails by any other exception, by other
results, and by taking more than five seconds; the run fails by more than 512 MiB of memory on top
of what it had after the first checkpoints. A failure keeps the file and ends with status 1.
"""
GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
MODELS = [GOLDEN / f"{name}.pt" for name in ("lattice_conv16", "ste_vector", "format1_gaussian")]
LINES = ["the old man sees a dog", "a", "the the the the"]
Rng = np.random.Generator
Change = Callable[[dict[str, Any], Rng], object]

ODD: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 7, 2**31, 10**7, 2**63, 0.0, -1.5, 1e300, float("nan"), float("inf")),
    *("", "Z", "none", "x" * 1000, "Z^99999999999", "/etc/passwd", "\0", "\n"),
    *([], {}, (), [0], [None], ["a", "b"], {"a": 1}, {1: "a"}, [[[[]]]], {"transforms": []}),
    *(torch.zeros(()), torch.zeros(0), torch.zeros(3), torch.zeros(3, dtype=torch.uint8)),
    *(torch.zeros(1).expand(10**6, 10**6), torch.full((2, 2), torch.nan), Namespace()),
    *(torch.arange(4), torch.zeros(2, 3, dtype=torch.bool), set()),
)


# ---- what is damaged, and how --------------------------------------------------------------------


def flip(data: bytes, rng: Rng) -> bytes:
    """Change up to eight bits."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwrite(data: bytes, rng: Rng) -> bytes:
    """Set some bytes, near the ends more often than not, to what numbers and lengths fear."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(min(4000, len(data))))
        at = (
            at if rng.random() < 0.4 else -1 - at if rng.random() < 0.7 else rng.integers(len(data))
        )
        changed[at] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
    return bytes(changed)


def truncate(data: bytes, rng: Rng) -> bytes:
    """Leave out the end."""
    return data[: rng.integers(len(data))]


def move(data: bytes, rng: Rng) -> bytes:
    """Leave out, repeat or exchange parts."""
    a, b, c = sorted(rng.integers(len(data) + 1, size=3))
    middle = (b"", data[a:b] * 2, data[b:c] + data[a:b])[rng.integers(3)]
    return data[:a] + middle + data[c if rng.random() < 0.5 else b :]


def rezip(data: bytes, rng: Rng) -> bytes:
    """Write the archive's entries anew: compressed, some of them changed, left out or twice."""
    made = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if rng.random() < 0.2 else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", how) as new:
        names = old.namelist()
        chosen = set(rng.choice(names, size=rng.integers(1, 3)).tolist())
        kind = rng.integers(5)
        for name in names:
            content = old.read(name)
            if name in chosen:
                if kind == 0:
                    continue
                content = (
                    *(content[: rng.integers(len(content) + 1)], content + content),
                    *(overwrite(content or b"\0", rng), content + bytes(10**6)),
                )[kind - 1]
            new.writestr(name, content)
    return made.getvalue()


FILES = (flip, overwrite, truncate, move, rezip)


def places(value: Any, found: list[tuple[Any, Any]] | None = None) -> list[tuple[Any, Any]]:
    """Return where a value stands in another: a dictionary, list or object, and its name in it."""
    found = [] if found is None else found
    inner = value if isinstance(value, dict | list) else getattr(value, "__dict__", {})
    items = list(enumerate(value)) if isinstance(value, list) else list(inner.items())
    for name, item in items:
        found.append((inner, name))
        if isinstance(item, dict | list | Namespace) or type(item).__module__.startswith(
            ("onmt.", "torchtext.")
        ):
            if len(found) < 100_000:
                places(item, found)
        elif isinstance(item, tuple):
            for part in item:
                places(part, found)
    return found


def pick(checkpoint: dict[str, Any], rng: Rng) -> tuple[Any, Any]:
    """Return a place in a part, those of the first levels more often than they are many."""
    names = list(checkpoint)
    part = checkpoint[names[rng.integers(len(names))]]
    found = [(checkpoint, name) for name in names] if rng.random() < 0.1 else places(part)
    few = [place for place in found if not isinstance(place[1], int)]
    chosen = few if few and rng.random() < 0.8 else found
    return chosen[rng.integers(len(chosen))] if chosen else (checkpoint, names[0])


def replace(checkpoint: dict[str, Any], rng: Rng) -> None:
    """Put something else in place of a value."""
    inside, name = pick(checkpoint, rng)
    inside[name] = ODD[rng.integers(len(ODD))]


def remove(checkpoint: dict[str, Any], rng: Rng) -> None:
    """Leave out a value."""
    inside, name = pick(checkpoint, rng)
    del inside[name]


def add(checkpoint: dict[str, Any], rng: Rng) -> None:
    """Add a value under a new name, or another one's."""
    inside, name = pick(checkpoint, rng)
    odd = ODD[rng.integers(len(ODD))]
    if isinstance(inside, list):
        inside.insert(name, odd)
    else:
        inside[f"{name}_" if rng.random() < 0.5 else rng.integers(9).item()] = odd


def exchange(checkpoint: dict[str, Any], rng: Rng) -> None:
    """Let two values change places."""
    (a, i), (b, j) = pick(checkpoint, rng), pick(checkpoint, rng)
    a[i], b[j] = b[j], a[i]


def reshape(checkpoint: dict[str, Any], rng: Rng) -> None:
    """Change a tensor: its shape, its type, or its numbers."""
    inside = checkpoint["model"] if rng.random() < 0.8 else checkpoint["generator"]
    name = list(inside)[rng.integers(len(inside))]
    tensor = inside[name]
    inside[name] = (
        *(tensor[:-1] if tensor.dim() else tensor.view(1), tensor.flatten(), tensor.unsqueeze(0)),
        *(tensor.T.clone() if tensor.dim() == 2 else tensor, tensor.long(), tensor.double()),
        *(tensor.half(), tensor * float("nan"), tensor.float() * 1e30, tensor.flatten().repeat(2)),
        *(tensor.new_zeros(()).expand(tensor.shape), tensor.new_zeros(()).expand(2**20, 2**20)),
        *(tensor.bool(), tensor.to(torch.complex64).real, -tensor.float()),
    )[rng.integers(15)]


def misstate(checkpoint: dict[str, Any], rng: Rng) -> None:
    """Let an option say something else."""
    options = vars(checkpoint["opt"])
    sizes = [n for n in options if n.endswith(("size", "layers", "dim", "levels"))]
    own = "bottleneck bottleneck_site lattice lattice_code prior rnn_type share_embeddings".split()
    names = (sizes, own, list(options))[rng.integers(3)]
    name = names[rng.integers(len(names))]
    small = rng.integers(1, 40).item()
    texts = ["E8", "Leech", "A2000", "conv64", "all", "top", "LSTM", "GRU", "learned", "unit"]
    texts += ["lattice", "gaussian", "ste_scalar", "none", "convolved_gaussian", "other"]
    options[name] = (small, texts[rng.integers(len(texts))], ODD[rng.integers(len(ODD))])[
        rng.integers(3)
    ]


def reword(checkpoint: dict[str, Any], rng: Rng) -> None:
    """Change the vocabulary."""
    vocabulary = checkpoint["vocab"]["src"].base_field.vocab
    tokens, at = vocabulary.itos, int(rng.integers(len(vocabulary.itos)))
    kind = rng.integers(6)
    if kind == 0:
        tokens[at] = ODD[rng.integers(len(ODD))]
    elif kind == 1:
        tokens[at] = tokens[0]
    elif kind == 2:
        del tokens[at]
    elif kind == 3:
        tokens += [f"new{i}" for i in range(rng.integers(1, 100))]
        vocabulary.stoi.update({token: i for i, token in enumerate(tokens)})
    elif kind == 4:
        vocabulary.stoi[tokens[at]] = ODD[rng.integers(len(ODD))]
    else:
        tokens.reverse()


CHANGES: tuple[Change, ...] = (replace, remove, add, exchange, reshape, misstate, reword)


# ---- what comes of it ----------------------------------------------------------------------------


def results(path: Path) -> list[float]:
    """Return what the checkpoint's model makes of some sentences, after training went on from it.

    Raises:
        UserError: if the checkpoint is refused.
    """
    from onmt_lattice.opennmt.checkpoint import build_autoencoder, load_checkpoint
    from onmt_lattice.opennmt.process import build
    from onmt_lattice.opennmt.scoring import Scorer
    from onmt_lattice.opennmt.sentences import read_sentences, token_index, trained_transforms

    checkpoint = load_checkpoint(path)
    loaded = build_autoencoder(path, checkpoint)
    sentences = read_sentences(LINES, trained_transforms(loaded), token_index(loaded))
    scores = Scorer(loaded, 0, 2).score(sentences)
    numbers = [*scores.nll_nats.tolist(), *scores.rate_nats.tolist()]
    if checkpoint["optim"] is not None:
        opt = Namespace(**vars(checkpoint["opt"]))
        opt.train_from, opt.save_model, opt.log_json = str(path), f"{path}.model", ""
        opt.seed, opt.update_vocab, opt.gpu_ranks, opt.tensorboard = 1, False, [], False
        opt.world_size, opt.reset_optim, opt.keep_checkpoint = 1, "none", -1
        trainer = build(opt, checkpoint["vocab"], checkpoint, -1, 0)
        trainer.model.generator[0].bias.grad = torch.zeros_like(trainer.model.generator[0].bias)
        trainer.optim.step()
    return numbers


def written(source: Path, target: Path, rng: Rng) -> tuple[str, bool]:
    """Write a changed checkpoint; return what was done, and whether its results may be others."""
    from onmt_lattice.opennmt.archive import read_archive
    from onmt_lattice.opennmt.checkpoint import OUR_KEY, write_checkpoint

    has_digest = "digest" in read_archive(source)[OUR_KEY]
    if rng.random() < 0.35:
        damage = FILES[rng.integers(len(FILES))]
        target.write_bytes(damage(source.read_bytes(), rng))
        return damage.__name__, damage is rezip and not has_digest
    checkpoint = read_archive(source)
    change = CHANGES[rng.integers(len(CHANGES))]
    change(checkpoint, rng)
    ours, kind = checkpoint.get(OUR_KEY), rng.integers(3)
    if kind == 0 and isinstance(ours, dict):
        with contextlib.suppress(Exception):  # of what cannot have one
            write_checkpoint(target, checkpoint)
            return change.__name__, True
    if kind == 1 and has_digest and isinstance(ours, dict):
        ours.pop("digest", None)
        ours["format"] = 2
    try:
        torch.save(checkpoint, target)
    except Exception:  # a vocabulary of None has no state
        return written(source, target, rng)
    return change.__name__, kind < 2 or not has_digest


def outcome(path: Path, may_differ: bool, expected: list[float]) -> str:
    """Return how a checkpoint ends: ``refused``, ``as before`` or as ``a model``.

    Raises:
        AssertionError: if it ends as it should not.
    """
    try:
        got = results(path)
    except UserError as error:
        assert str(path) in str(error) or "is not finite" in str(error), repr(error)
        return "refused"
    assert may_differ or got == expected, "other results"
    return "as before" if got == expected else "a model"


def cases(models: list[Path], files: int, seed: int, folder: Path) -> Iterator[Case]:
    """Yield changed checkpoints, of the models in turn."""
    expected = {model: results(model) for model in models}
    for number in range(files):
        rng = np.random.default_rng((seed, number))
        model, path = models[number % len(models)], folder / "changed.pt"
        kind, may_differ = written(model, path, rng)
        end = partial(outcome, path, may_differ, expected[model])
        yield Case(kind, end, partial(kept, path, Path(f"fuzz_{seed}_{number}.pt").absolute()))


def kept(path: Path, copy: Path) -> str:
    """Keep the checkpoint at ``path``, and say where."""
    copy.write_bytes(path.read_bytes())
    return f"see {copy}"


def main() -> None:
    """Fuzz, and print what came of it."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-files", type=int, default=1000)
    parser.add_argument("-seed", type=int, default=0)
    parser.add_argument("-models", nargs="*", type=Path, default=MODELS, help="checkpoints")
    args = parser.parse_args()
    quiet_opennmt()
    from onmt_lattice.opennmt import plugin

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
    main()

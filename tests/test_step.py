"""No step waits for a device: on the meta device, where nothing has a value, and counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import (
    BOTTLENECKS,
    Build,
    Corpus,
    Mistake,
    assert_equal,
    batch_of,
    lines_of,
    timeless,
    train,
)
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint as load
from onmt_lattice.opennmt.data.stream import moved
from onmt_lattice.opennmt.model import output_layer
from onmt_lattice.opennmt.training import reports as reporting
from onmt_lattice.opennmt.training.reports import NormOptimizer

aten = torch.ops.aten
LINES = [" ".join(line.split()[: 2 + i % 4]) for i, line in enumerate(lines_of(24, 1))]
META = torch.device("meta")
NAMES = "Z A2 A3* D4 D4* E8 BW16 Leech conv16".split()
KINDS: dict[str, dict[str, Any]] = {
    **{name: {"bottleneck_dim": None, **options} for name, options in BOTTLENECKS.items()},
    "residual_vq": {"bottleneck": "fsq", "bottleneck_dim": None},  # whose library looks at values
    **{name: {"bottleneck": "lattice", "lattice": name, "bottleneck_dim": 32} for name in NAMES},
    "estimated": {"bottleneck": "lattice", "lattice": "A2", "lattice_code": "convolved_gaussian"},
    "lstm": {"rnn_type": "LSTM", "layers": 2, "bottleneck_site": "all", "dropout": [0.1]},
    "bf16": {"model_dtype": "bf16", "bottleneck": "lattice", "lattice": "E8"},
    "sgd": {"optim": "sgd", "learning_rate": 0.5},
    "tokens": {"normalization": "tokens", "accum_count": [2], "average_decay": 0.1},
}
ASK = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.bincount}
ASK |= {aten._unique2, aten._unique, aten.unique_dim, aten.unique_consecutive, aten.is_nonzero}
HOST = {aten._pack_padded_sequence, aten._pack_padded_sequence_backward}  # lengths and sizes
MIX = {aten.where, aten.index, aten.index_put_, aten._index_put_impl_, aten.copy_}


class Waits(TorchDispatchMode):
    """Notes every operation for which the host would wait for ``device``.

    That is one which returns a value or a shape that depends on values, or copies from a device
    to another. A CPU scalar among the operands of other operations is handed to the kernel.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.noted: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        there = [x for x in tensors if x.device == self.device]
        packet = func.overloadpacket
        apart = len(there) < len(tensors) and (packet in MIX or any(map(self._is_big, tensors)))
        apart = apart and packet not in HOST
        sent = kwargs.get("device") not in (None, *(x.device for x in tensors)) and tensors
        if (there and (packet in ASK or apart or self._by_mask(packet, args))) or sent:
            self.noted.append(str(func))
        return func(*args, **kwargs)

    def _is_big(self, x: Tensor) -> bool:
        return x.device != self.device and x.dim() > 0

    def _by_mask(self, packet: Any, args: tuple[Any, ...]) -> bool:
        if packet not in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
            return False
        return any(x is not None and x.dtype == torch.bool for x in args[1])


class Made(TorchFunctionMode):
    """Notes every tensor that is made of numbers of the host and copied to ``device``."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.noted: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        numbers = func in (torch.tensor, torch.as_tensor, Tensor.new_tensor)
        if numbers and out.device == self.device and not isinstance(args[0], Tensor):
            self.noted.append(str(func))
        return out


@contextmanager
def noting(device: torch.device) -> Iterator[list[str]]:
    """Yield a list of all that the host waits for ``device`` for, complete at the end."""
    noted: list[str] = []
    with Made(device) as made, Waits(device) as waits:
        yield noted
    noted += made.noted + waits.noted


def settings(kind: str) -> dict[str, Any]:
    return {"report_every": 100, "max_grad_norm": 0.3, **KINDS[kind]}


def run(trainer: Any, batches: list[Any], steps: int) -> None:
    trainer.model_saver = None
    trainer.train(batches, steps, save_checkpoint_steps=0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sgd"])
def test_a_step_needs_no_value(build: Build, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adam = import_module("torch.optim.adam")
    monkeypatch.setattr(adam, "_device_dtype_check_for_fused", lambda p: None)
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    trainer = build(**settings(kind))
    padding = trainer.train_loss.padding_idx
    batches = [moved(batch_of(trainer, LINES[i:]), META, padding) for i in range(6)]
    trainer.model.to(META)
    trainer.optim = NormOptimizer.from_opt(trainer.model, trainer.model_saver.model_opt)
    run(trainer, batches[:2], 1)  # makes what is made once
    with noting(META) as noted:
        trainer.train(batches[2:], 2, save_checkpoint_steps=0)
    assert noted == []
    assert trainer.unreported.values.device == META


@pytest.fixture
def as_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """No value is looked at in a step on the CPU either."""
    for module in (output_layer, reporting):
        monkeypatch.setattr(module, "is_on_host", lambda x: False)


def state(trainer: Any) -> list[Any]:
    """Return all that a step changes."""
    parameters = trainer.model.state_dict(), trainer.optim.state_dict()
    return [*parameters, trainer.unreported.sums(), trainer.optim.grad_norm]


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_the_same_with_a_look_and_without(
    build: Build, kind: str, request: pytest.FixtureRequest
) -> None:
    ends = []
    for fixtures in ([], ["as_on_a_device"]):
        for name in fixtures:
            request.getfixturevalue(name)
        trainer = build(**settings(kind))
        run(trainer, [batch_of(trainer, LINES[i:]) for i in range(4)], 2)
        ends.append(state(trainer))
    assert_equal(*ends)


@pytest.mark.parametrize(
    ("broken", "optim"), [({2, 3, 6}, "adam"), (set(range(4, 30)), "sgd")], ids=["few", "many"]
)
def test_a_device_leaves_the_same_steps_out(
    corpus: Corpus,
    tmp_path: Path,
    mistake: Mistake,
    broken: set[int],
    optim: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    norm = NormOptimizer._norm

    def measured(self: NormOptimizer) -> Tensor:
        return norm(self) * (float("nan") if self.training_step in broken else 1.0)

    monkeypatch.setattr(NormOptimizer, "_norm", measured)
    steps = {"train_steps": 25, "save_checkpoint_steps": 3, "report_every": 5, "valid_steps": 20}
    config = corpus.yaml(tmp_path / "a.yaml", **steps, optim=optim)
    ends = []
    for name in ("looks", "waits"):
        base, log = tmp_path / name / "m", tmp_path / f"{name}.log"
        words = ["-save_model", base, "-log_json", tmp_path / f"{name}.jsonl", "-log_file", log]
        if len(broken) < 20:
            train(config, *words)
            said = ""
        else:
            said = mistake("train", "-config", config, *words).replace(str(base), "")
            assert "step 23: for 20 steps in a row the gradient was not finite" in said
            assert said.endswith("the last good one is _step_3.safetensors")
        told = re.findall(r"Step (\d+): the gradient is not .* \((\d+) so far\)", log.read_text())
        assert [int(step) for step, _ in told] == sorted(broken)[:20]
        assert [int(so_far) for _, so_far in told] == list(range(1, len(told) + 1))
        kept = ("model", "generator", "optim", "onmt_lattice")
        written = {p.name: {k: load(p)[k] for k in kept} for p in base.parent.glob("*.safetensors")}
        ends.append([written, repr(timeless(tmp_path / f"{name}.jsonl")), said])
        request.getfixturevalue("as_on_a_device")
    assert_equal(*ends)

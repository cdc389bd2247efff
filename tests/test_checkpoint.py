"""Checkpoints: whole or not at all, complete, and every damage found."""

from __future__ import annotations

import pickle
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from conftest import BOTTLENECKS, Build, Corpus, Mistake, Script, Trained, run, train
from torch import nn

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Evaluation
from onmt_lattice.opennmt.checkpoint.contents import named_tensors
from onmt_lattice.opennmt.checkpoint.loading import load_autoencoder, load_checkpoint
from onmt_lattice.opennmt.checkpoint.saver import write_checkpoint
from onmt_lattice.opennmt.training import plugin
from onmt_lattice.tensor_file import KEY, read_file, write_file

Tensors = dict[str, torch.Tensor]
Values = dict[str, Any]
Change = Callable[[Tensors, Values], Any]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def refused(corpus: Corpus, tmp_path: Path, mistake: Mistake) -> Mistake:
    """Return the line by which train_from, translate and evaluate refuse a checkpoint, alike."""

    def said_of(path: Path) -> str:
        config = corpus.yaml(tmp_path / "resume.yaml", save_model=str(tmp_path / "resumed"))
        said = {
            mistake(*words).split("error: ")[1]
            for words in (
                ("evaluate", "-model", path, "-src", corpus.test),
                ("translate", "-model", path, "-src", corpus.test, "-output", tmp_path / "out"),
                ("train", "-config", config, "-train_from", path, "-train_steps", 1000),
            )
        }
        assert not list(tmp_path.glob("resumed*")) and not (tmp_path / "out").exists()
        (line,) = said
        return line

    return said_of


@pytest.fixture
def changed(trained: Trained, tmp_path: Path) -> Callable[[Change], Path]:
    """Return where a checkpoint was written after a change, with the digest that agrees."""

    def write(change: Change) -> Path:
        tensors, values = read_file(trained("gaussian"))
        change(tensors, values)
        write_file(tmp_path / "a.safetensors", tensors, values)
        return tmp_path / "a.safetensors"

    return write


# ---- safe ----------------------------------------------------------------------------------------


def test_other_files_are_called_what_they_are(
    corpus: Corpus, tmp_path: Path, refused: Mistake, mistake: Mistake
) -> None:
    torch.save({"model": {}, "opt": {}}, tmp_path / "stock.pt")
    (tmp_path / "pickle").write_bytes(pickle.dumps({"model": 1}, 2))
    (tmp_path / "empty").touch()
    (tmp_path / "packed").write_bytes(b"OLZ\1...")
    (tmp_path / "image").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    for path in (tmp_path / "no.safetensors", tmp_path):
        said = mistake("evaluate", "-model", path, "-src", corpus.test)
        assert f"checkpoint {path}" in said and ": no such file" in said
    for path, said in (
        (tmp_path / "stock.pt", "is a .pt file or another pickle or archive, which could run code"),
        (tmp_path / "pickle", "is a .pt file or another pickle or archive, which could run code"),
        (tmp_path / "empty", "is empty"),
        (tmp_path / "packed", "is a file of 'onmt_lattice compress'"),
        (tmp_path / "image", "is not a file of onmt_lattice, or damaged"),
        (tmp_path / "other.safetensors", "is not a file of onmt_lattice, or damaged"),
        (corpus.test, "is a text"),
        (corpus.folder / "vocab.yaml", "is a text"),
    ):
        line = refused(path)
        assert f"checkpoint {path}: {said}; expected a file that 'onmt_lattice train' has" in line
        assert "model_step_500.safetensors" in line


def test_a_digest_over_what_is_no_checkpoint(tmp_path: Path) -> None:
    values: Values
    for values, said in (
        ({}, "KeyError: 'format'"),
        ({"format": 1}, "KeyError: 'aliases'"),
        ({"format": 99, "version": "9"}, "written by onmt_lattice 9 in a newer format; this is"),
    ):
        write_file(tmp_path / "a.safetensors", {}, values)
        with pytest.raises(UserError, match=f"a.safetensors: refused: {said}"):
            load_checkpoint(tmp_path / "a.safetensors")


def opt(**options: Any) -> Change:
    return lambda _, values: values["options"].update(options)


def tensor(name: str, value: Any) -> Change:
    return lambda held, _: held.update({name: value})


SIGMA = "model.encoder.bottleneck.channel.log_sigma"
MALFORMED: dict[str, tuple[Change, str]] = {
    "10^7 layers": (opt(layers=10**7), "-layers 10000000: expected at least 1 and at most 128"),
    "128 layers": (opt(layers=128), "does not fit the model: missing ['decoder.rnn.bias_hh_l1'"),
    "a huge size": (opt(rnn_size=2**16), "where its options declare"),
    "an odd size": (opt(rnn_size=33), "-enc_rnn_size 33: expected an even number"),
    "a list for a size": (opt(layers=[1]), "TypeError: "),
    "a second path": (opt(copy_attn=True), "-copy_attn True: must be False here"),
    "a large bottleneck": (opt(bottleneck_dim=2**16), "where its options declare"),
    "another bottleneck": (
        opt(bottleneck="ste_scalar", prior=None, levels=2**16),
        "does not fit the model",
    ),
    "a lattice": (opt(bottleneck="lattice", lattice="E8"), "does not fit the model: missing"),
    "no options": (lambda _, values: values.pop("options"), "KeyError: 'options'"),
    "one tensor less": (
        lambda held, _: held.pop(SIGMA),
        f"does not fit the model: missing ['{SIGMA.removeprefix('model.')}'], unexpected []",
    ),
    "one more": (tensor("model.a.b", torch.zeros(3)), "missing [], unexpected ['a.b']"),
    "one of no part": (tensor("a.b", torch.zeros(3)), "KeyError: 'a'"),
    "another shape": (tensor(SIGMA, torch.zeros(3)), "size mismatch for encoder.bottleneck"),
    "one more token": (
        lambda _, values: values["vocabulary"].append("zyzzyva"),
        "size mismatch for encoder.emb",
    ),
    "a file anywhere": (tensor("files./tmp/x", torch.zeros(3)), "it would write a file '/tmp/x'"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_one_is_refused_at_once(changed: Callable[[Change], Path], name: str) -> None:
    """A digest agrees with it, as if a program had made it so."""
    plugin.install()
    change, said = MALFORMED[name]
    path = changed(change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(UserError) as refusal:
        load_autoencoder(path)
    assert time.process_time() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17  # KiB
    line = str(refusal.value)
    assert f"checkpoint {path}: refused: " in line and said in line


def test_the_states_of_another_optimizer_are_refused(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    config = corpus.yaml(tmp_path / "resume.yaml", save_model=str(tmp_path / "resumed"))
    words = ("-train_from", trained("gaussian"), "-reset_optim", "keep_states", "-optim", "adagrad")
    line = mistake("train", "-config", config, *words, "-train_steps", 1000)
    assert "those of -optim adam, not of adagrad; -reset_optim all begins" in line


def test_fuzzed_checkpoints(trained: Trained, script: Script) -> None:
    golden = [GOLDEN / f"{name}.safetensors" for name in ("lattice_conv16", "ste_vector")]
    words = ("-files", 200, "-seed", 1, "-models", trained("gaussian"), *golden)
    *_, last = script("fuzz_checkpoint.py", *words)
    assert last.endswith("each refused, or a model")


def test_a_frozen_checkpoint_gives_the_numbers_it_gave(tmp_path: Path) -> None:
    """Bits per sentence, as the version that trained it said."""
    model, text = GOLDEN / "lattice_E8.safetensors", GOLDEN / "evaluated.en"
    run("evaluate", "-model", model, "-src", text, "-output", tmp_path / "out.json")
    got = Evaluation.read(tmp_path / "out.json")
    costs = (got.nll.sentence, got.rate.sentence, got.relaxed_rate.sentence)
    assert costs == pytest.approx((79.67607588496104, 9.870135451656441, 9.9691858333986), rel=1e-5)


# ---- complete ------------------------------------------------------------------------------------


def test_values_come_back_from_a_file_as_they_were(tmp_path: Path) -> None:
    values = {"a": [0.1, 1e-45, -0.0, float("inf"), 10**18, True, None, "\udcff ü\0", [], {"b": 1}]}
    write_file(tmp_path / "a.safetensors", {}, values)
    assert repr(read_file(tmp_path / "a.safetensors")[1]) == repr(values)


@pytest.mark.parametrize("size", [(), (0,), (3, 4), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8, torch.bfloat16])
def test_a_tensor_comes_back_from_a_file_as_it_was(
    tmp_path: Path, size: tuple[int, ...], dtype: torch.dtype
) -> None:
    whole = (torch.rand(size) * 100).to(dtype)
    write_file(tmp_path / "a.safetensors", {"a": whole}, {})
    got = read_file(tmp_path / "a.safetensors")[0]["a"]
    assert got.dtype == dtype and torch.equal(got, whole)


def test_every_option_comes_back_of_its_type(build: Build, tmp_path: Path) -> None:
    """Those of a training with options of every kind: lists, a dictionary, a set, texts, None."""
    trainer = build(dropout=[0.1], layers=2, transforms=["tokendrop"], log_file=f"{tmp_path}/ü")
    saver, path = trainer.model_saver, tmp_path / "a.safetensors"
    write_checkpoint(path, saver._contents(1, [trainer.process_state()], None))
    before, after = vars(saver.model_opt), vars(load_checkpoint(path)["opt"])
    assert isinstance(after["_all_transform"], set) and isinstance(after["data"], dict)
    assert before.keys() == after.keys()
    assert [k for k in before if type(before[k]) is not type(after[k])] == []
    assert [k for k in before if before[k] != after[k]] == []


def test_the_bytes_of_a_file_depend_on_its_content_alone(trained: Trained, tmp_path: Path) -> None:
    plugin.install()
    write_checkpoint(tmp_path / "a.safetensors", load_checkpoint(trained("gaussian")))
    assert (tmp_path / "a.safetensors").read_bytes() == trained("gaussian").read_bytes()
    with safetensors.safe_open(trained("gaussian"), "pt") as file:
        assert list(file.metadata()) == [KEY]


TIED = {"share_embeddings": True, "word_vec_size": 32, "share_decoder_embeddings": True}


@pytest.mark.parametrize("average", [{}, {"average_decay": 0.1}], ids=["raw", "averaged"])
def test_tied_embeddings_stand_in_a_file_once(
    build: Build, tmp_path: Path, average: dict[str, float]
) -> None:
    """Under a moving average all names of a tied tensor have its average."""
    trainer = build(**TIED, **average)
    names = dict(trainer.model.named_parameters())
    averages = [p.detach() + 1 for p in names.values()] if average else None
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, trainer.model_saver._contents(1, [trainer.process_state()], averages))
    tensors, values = read_file(path)
    source = "encoder.embeddings.make_embedding.emb_luts.0.weight"
    target = source.replace("encoder", "decoder")
    assert values["aliases"] == {target: source, "generator.0.weight": source}
    assert f"model.{target}" not in tensors
    loaded = load_autoencoder(path).model.state_dict()
    expected = names[source] + 1 if average else names[source]
    for name in (source, target, "generator.0.weight"):
        assert torch.equal(loaded[name], expected)


def test_everything_of_the_bottleneck_is_in_the_checkpoint(trained: Trained, name: str) -> None:
    prefix = "encoder.bottleneck."
    tensors = dict(named_tensors(load_checkpoint(trained(name))))
    assert any(key.startswith(prefix) for key in tensors) == (name != "none")
    loaded = load_autoencoder(trained(name))
    assert not loaded.model.training and loaded.step == 60
    state = loaded.model.state_dict()
    assert state.keys() == tensors.keys()
    assert all(torch.equal(state[key], value) for key, value in tensors.items())


@pytest.mark.parametrize("glorot", [False, True])
def test_opennmt_s_initialisation_spares_the_bottleneck(
    build: Build, name: str, glorot: bool
) -> None:
    settings = {"bottleneck_dim": None, **BOTTLENECKS[name]}
    model = build(**settings, param_init=0.05, param_init_glorot=glorot).model
    bottleneck = model.encoder.bottleneck
    for linear in (bottleneck.map_in, bottleneck.map_out):
        if isinstance(linear, nn.Linear):  # orthogonal, but for its gain
            m, n = linear.weight.shape
            small = linear.weight @ linear.weight.T if m <= n else linear.weight.T @ linear.weight
            expected = small.diagonal().mean() * torch.eye(min(m, n))
            torch.testing.assert_close(small, expected, rtol=0, atol=1e-4)
            assert not linear.bias.any()
    for parameter in ("channel.log_sigma", "channel.log_prior", "logits"):
        if parameter in dict(bottleneck.named_parameters()):
            assert not bottleneck.get_parameter(parameter).any()
    if name.startswith("ste"):
        assert bottleneck.entries.std() > 0.5  # standard normal, not within 0.05
    if not glorot:
        assert model.encoder.rnn.weight_ih_l0.abs().max() <= 0.05


# ---- whole or not at all -------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "left"), [(-1, (1, 2, 3, 4, 5)), (2, (4, 5)), (1, (5,)), (0, ())])
def test_keep_checkpoint(corpus: Corpus, tmp_path: Path, keep: int, left: tuple[int, ...]) -> None:
    steps = {"train_steps": 5, "save_checkpoint_steps": 1, "keep_checkpoint": keep}
    config = corpus.yaml(tmp_path / "a.yaml", **steps, save_model=str(tmp_path / "new" / "m"))
    train(config)
    found = {p.name for p in tmp_path.glob("new/m_*")}
    assert found == {f"m_step_{step}.safetensors" for step in left}


def test_the_random_state_of_gpus_comes_back(changed: Callable[[Change], Path]) -> None:
    from onmt_lattice.opennmt.checkpoint.contents import set_random_state

    cuda = {f"cuda.{gpu}": torch.arange(16, dtype=torch.uint8) + gpu for gpu in range(12)}
    state = {f"random.0.{name}": tensor for name, tensor in cuda.items()}
    path = changed(lambda tensors, _: tensors.update(state))
    (process,) = load_checkpoint(path)["onmt_lattice"]["processes"]
    assert {name: process["random_state"][name].tolist() for name in cuda} == {
        name: tensor.tolist() for name, tensor in cuda.items()
    }
    set_random_state(process["random_state"])  # of another number of GPUs, which keep their own

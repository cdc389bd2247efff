"""Checkpoints: whole or not at all, complete, and read without running what they hold."""

from __future__ import annotations

import os
import pickle
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import BOTTLENECKS, Corpus
from torch import nn

from onmt_lattice.cli import main
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation import Evaluation
from onmt_lattice.opennmt import plugin
from onmt_lattice.opennmt.checkpoint import load_autoencoder, load_checkpoint, write_checkpoint
from onmt_lattice.opennmt.digest import digest

Mistake = Callable[..., str]
Trained = Callable[[str], Path]
Change = Callable[[dict[str, Any]], Any]
GOLDEN = Path(__file__).parent / "golden"


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=False)


@pytest.fixture
def refused(corpus: Corpus, tmp_path: Path, mistake: Mistake) -> Mistake:
    """Return the line by which train_from, translate and evaluate refuse a checkpoint, alike."""

    def run(path: Path) -> str:
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

    return run


def changed(source: Path, target: Path, change: Change) -> Path:
    """Write the checkpoint at ``source`` to ``target`` after a ``change`` to it."""
    checkpoint = load(source)
    change(checkpoint)
    if isinstance(checkpoint.get("onmt_lattice"), dict):
        write_checkpoint(target, checkpoint)
    else:
        torch.save(checkpoint, target)
    return target


# ---- safe ----------------------------------------------------------------------------------------


class Trap:
    """What unpickling calls with what arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("where", ["model", "opt", "optim", "onmt_lattice"])
def test_a_pickle_that_would_run_code_is_refused(
    trained: Trained, tmp_path: Path, refused: Mistake, where: str
) -> None:
    sprung = tmp_path / "sprung"
    for function, arguments, named in (
        (os.system, (f"touch {sprung}",), "posix.system"),
        (eval, (f"open({str(sprung)!r}, 'w')",), "eval"),
        (getattr, ("text", "upper"), "getattr"),
    ):
        trap = Trap(function, *arguments)
        path = changed(
            trained("gaussian"), tmp_path / "a.pt", lambda c, t=trap: c.update({where: t})
        )
        said = refused(path)
        assert f"{path}: refused, as it would load " in said and named in said
    assert not sprung.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_bare_pickle_is_refused(tmp_path: Path, refused: Mistake) -> None:
    sprung = tmp_path / "sprung"
    for protocol in (2, 4):
        path = tmp_path / f"{protocol}.pt"
        path.write_bytes(pickle.dumps({"model": Trap(os.system, f"touch {sprung}")}, protocol))
        assert f"checkpoint {path}: " in refused(path)
    assert not sprung.exists()


def test_an_embedded_file_cannot_leave_its_folder(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    outside = tmp_path / "outside"
    files = {os.path.relpath(outside, "/tmp/anywhere"): torch.zeros(3, dtype=torch.uint8)}
    files[str(outside)] = torch.zeros(3, dtype=torch.uint8)
    path = changed(
        trained("gaussian"), tmp_path / "a.pt", lambda c: c["onmt_lattice"].update(files=files)
    )
    assert "would write files" in mistake("evaluate", "-model", path, "-src", corpus.test)
    assert not outside.exists()


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "is empty, not a checkpoint"),
        (100, "not a checkpoint, or damaged"),
        (20_000, "not a checkpoint, or damaged"),
    ],
)
def test_a_damaged_file_is_refused(
    trained: Trained, tmp_path: Path, refused: Mistake, size: int, said: str
) -> None:
    path = tmp_path / "cut.pt"
    path.write_bytes(trained("gaussian").read_bytes()[:size])
    assert f"checkpoint {path}: {said}" in refused(path)


def test_other_files_are_refused(corpus: Corpus, tmp_path: Path, refused: Mistake) -> None:
    for path in (corpus.test, corpus.vocabulary, corpus.folder / "vocab.yaml"):
        assert f"checkpoint {path}: is a text, not a checkpoint" in refused(path)
    for content in ({"a": 1}, [1], torch.zeros(3)):
        torch.save(content, tmp_path / "a.pt")
        assert "not a checkpoint of OpenNMT-py" in refused(tmp_path / "a.pt")


def test_a_missing_file(corpus: Corpus, tmp_path: Path, mistake: Mistake) -> None:
    for words in (("evaluate",), ("translate", "-output", tmp_path / "out")):
        for path in (tmp_path / "no.pt", tmp_path):
            said = mistake(*words, "-model", path, "-src", corpus.test)
            assert f"checkpoint {path}: no such file" in said


def test_a_stock_checkpoint_is_refused(trained: Trained, tmp_path: Path, refused: Mistake) -> None:
    path = changed(trained("gaussian"), tmp_path / "a.pt", lambda c: c.pop("onmt_lattice"))
    assert "has no bottleneck; train one with 'onmt_lattice train'" in refused(path)


def test_a_newer_format_is_refused(trained: Trained, tmp_path: Path, refused: Mistake) -> None:
    path = changed(
        trained("gaussian"), tmp_path / "a.pt", lambda c: c["onmt_lattice"].update(format=99)
    )
    assert "newer format" in refused(path)


def test_a_second_path_in_a_checkpoint_is_refused(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    path = changed(
        trained("gaussian"), tmp_path / "a.pt", lambda c: setattr(c["opt"], "copy_attn", True)
    )
    config = corpus.yaml(tmp_path / "resume.yaml", save_model=str(tmp_path / "resumed"))
    for words in (
        ("evaluate", "-model", path, "-src", corpus.test),
        ("train", "-config", config, "-train_from", path, "-train_steps", 1000),
    ):
        assert "-copy_attn True: must be False here" in mistake(*words)


def test_a_flipped_bit_is_found_wherever_it_is(
    trained: Trained, tmp_path: Path, mistake: Mistake, corpus: Corpus
) -> None:
    whole = trained("gaussian").read_bytes()
    rng, path, seen = random.Random(0), tmp_path / "a.pt", 0
    for _ in range(40):
        place = rng.randrange(8 * len(whole))
        altered = bytearray(whole)
        altered[place // 8] ^= 1 << place % 8
        path.write_bytes(altered)
        try:
            loaded = load_checkpoint(path)
        except UserError as error:
            assert f"checkpoint {path}: " in str(error)
            seen += 1
        else:  # between the entries of the archive nothing is read
            assert digest(loaded) == digest(load_checkpoint(trained("gaussian")))
    assert seen > 25


def test_weights_that_are_not_finite_are_refused(
    trained: Trained, tmp_path: Path, refused: Mistake
) -> None:
    def break_it(checkpoint: dict[str, Any]) -> None:
        checkpoint["model"]["encoder.bottleneck.map_in.weight"][0, 0] = float("nan")

    path = changed(trained("gaussian"), tmp_path / "a.pt", break_it)
    assert "map_in.weight holds numbers that are not finite" in refused(path)


def opt(**options: Any) -> Change:
    return lambda c: vars(c["opt"]).update(options)


def ours(**values: Any) -> Change:
    return lambda c: c["onmt_lattice"].update(values)


def vocabulary(change: Callable[[Any], Any]) -> Change:
    return lambda c: change(c["vocab"]["src"].base_field.vocab)


def model(**tensors: Any) -> Change:
    return lambda c: c["model"].update({k.replace("__", "."): v for k, v in tensors.items()})


SIGMA, HIDDEN = "encoder__bottleneck__channel__log_sigma", "encoder__rnn__weight_hh_l0"
MALFORMED: dict[str, tuple[Change, str]] = {
    "10^7 layers": (opt(layers=10**7), "-layers 10000000: expected at least 1 and at most 128"),
    "128 layers": (opt(layers=128), "does not fit the model: missing ['decoder.rnn.bias_hh_l1'"),
    "a huge size": (opt(rnn_size=2**16), "where its options declare"),
    "a size beyond": (opt(rnn_size=2**20), "-rnn_size 1048576: expected"),
    "an odd size": (opt(rnn_size=33), "-enc_rnn_size 33: expected an even number"),
    "a text for a size": (opt(rnn_size="32"), "-rnn_size '32': not a value that the option takes"),
    "a list for a size": (opt(layers=[1]), "-layers [1]: not a value that the option takes"),
    "a size that is no number": (opt(dropout=[float("nan")]), "-dropout [nan]: expected"),
    "a huge bottleneck": (opt(bottleneck_dim=2**31), "-bottleneck_dim 2147483648: expected"),
    "a large bottleneck": (opt(bottleneck_dim=2**16), "where its options declare"),
    "a negative bottleneck": (opt(bottleneck_dim=-1), "-bottleneck_dim -1: expected"),
    "another bottleneck": (
        opt(bottleneck="ste_scalar", prior=None, levels=2**16),
        "does not fit the model",
    ),
    "an unknown one": (opt(bottleneck="other"), "unknown bottleneck 'other'"),
    "a lattice": (opt(bottleneck="lattice", lattice="E8"), "does not fit the model: missing"),
    "no texts": (opt(data={}), "its options name no corpora"),
    "a text for texts": (opt(data="train.txt"), "its options name no corpora"),
    "no options": (lambda c: c.update(opt={}), "its options are none"),
    "a list of tensors": (lambda c: c.update(model=[]), "its model is no dictionary of tensors"),
    "a number for one": (model(a=1), "its model is no dictionary of tensors"),
    "another shape": (model(**{SIGMA: torch.zeros(3)}), "size mismatch for encoder.bottleneck"),
    "another type": (model(**{SIGMA: torch.zeros(16).long()}), "holds torch.int64, where"),
    "one more": (model(a__b=torch.zeros(3)), "missing [], unexpected ['a.b']"),
    "not finite": (model(**{SIGMA: torch.full((16,), torch.inf)}), "numbers that are not finite"),
    "a list of tokens": (lambda c: c.update(vocab=["a"]), "its vocabulary is not of OpenNMT-py's"),
    "no source": (lambda c: c["vocab"].pop("src"), "its vocabulary is not of OpenNMT-py's"),
    "no tokens": (vocabulary(lambda v: vars(v).pop("itos")), "its vocabulary is no list of tokens"),
    "a number among tokens": (vocabulary(lambda v: v.itos.append(1)), "is no list of tokens"),
    "a token twice": (vocabulary(lambda v: v.itos.append(v.itos[5])), "does not number its tokens"),
    "tokens and their order": (vocabulary(lambda v: v.itos.reverse()), "does not number its tok"),
    "one more token": (
        vocabulary(lambda v: (v.itos.append("zyzzyva"), v.stoi.update(zyzzyva=len(v.itos) - 1))),
        "size mismatch for encoder.embeddings",
    ),
    "another field": (
        lambda c: vars(c["vocab"]["tgt"].base_field).update(pad_token=None),
        "its vocabulary's field tgt is not OpenNMT-py's",
    ),
    "a text for a step": (ours(step="60"), "its step is no number of steps"),
    "a negative step": (ours(step=-1), "its step is no number of steps"),
    "batches": (ours(batches_taken=None), "its batches_taken is no number of steps"),
    "lambda": (ours(rate_weight=float("nan")), "its rate_weight is no number"),
    "the best": (ours(best="0"), "its best is no number"),
    "the random state": (ours(random_state={}), "its random state is none"),
    "files": (ours(files={"src_subword_model": "x"}), "its files hold no bytes"),
    "sums": (ours(unreported={"loss": 1}), "its sums of what was not reported yet"),
    "other processes": (ours(others=[1]), "what it says of other processes"),
    "a position": (ours(position={"taken": 10**9}), "its position in the texts is none"),
    "its patience": (ours(patience={"status": []}), "what it says of its patience"),
    "its quantization": (ours(quantized={"model": 1}), "what it says of its quantization"),
    "its format": (ours(format="3"), "damaged, expected the number of its format"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_checkpoint_is_refused_at_once(
    trained: Trained, tmp_path: Path, name: str
) -> None:
    plugin.install()
    change, said = MALFORMED[name]
    path = changed(trained("gaussian"), tmp_path / "a.pt", change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(UserError) as refusal:
        load_autoencoder(path)
    assert time.process_time() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17  # KiB
    line = str(refusal.value)
    assert f"checkpoint {path}: " in line and said in line
    assert "refused" in line or "damaged" in line


MISRESUMED: dict[str, tuple[Change, str]] = {
    "no state": (lambda c: c.update(optim=1), "the state of its optimizer"),
    "a negative step": (lambda c: c["optim"].update(training_step=-1), "the state of its opt"),
    "another shape": (
        lambda c: c["optim"]["optimizer"]["state"][0].update(exp_avg=torch.zeros(3)),
        "the state of its optimizer is not that of the model's",
    ),
    "less of it": (
        lambda c: c["optim"]["optimizer"]["state"][0].pop("exp_avg_sq"),
        "the state of its optimizer is not that of the model's",
    ),
    "two groups": (
        lambda c: c["optim"]["optimizer"].update(param_groups=[{}, {}]),
        "the state of its optimizer is not that of the model's",
    ),
    "raw parameters": (ours(raw=[torch.zeros(3)]), "its raw parameters are not those"),
}


@pytest.mark.parametrize("name", MISRESUMED)
def test_training_does_not_go_on_from_what_is_no_state(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake, name: str
) -> None:
    change, said = MISRESUMED[name]
    path = changed(trained("gaussian"), tmp_path / "a.pt", change)
    config = corpus.yaml(tmp_path / "resume.yaml", save_model=str(tmp_path / "resumed"))
    words = ("-config", config, "-train_from", path, "-train_steps", 1000)
    line = mistake("train", *words)
    assert f"checkpoint {path}: refused: {said}" in line


def test_fuzzed_checkpoints(trained: Trained, script: Callable[..., list[str]]) -> None:
    models = [trained("gaussian"), GOLDEN / "lattice_conv16.pt", GOLDEN / "ste_vector.pt"]
    *_, last = script("fuzz_checkpoint.py", "-files", 50, "-seed", 1, "-models", *models)
    assert last.endswith("each refused, or a model")


# ---- of earlier formats --------------------------------------------------------------------------

FORMAT_1 = {  # bits per sentence of NLL, rate and relaxed rate, as the version that wrote them said
    "gaussian": (78.74874236936664, 13.215020944521175, 13.215020944521175),
    "lattice_E8": (79.67607588496104, 9.870135451656441, 9.9691858333986),
}


@pytest.mark.parametrize("name", FORMAT_1)
def test_a_checkpoint_of_format_1_gives_the_numbers_it_gave(name: str, tmp_path: Path) -> None:
    model, text = GOLDEN / f"format1_{name}.pt", GOLDEN / "format1.en"
    words = ("-model", model, "-src", text, "-output", tmp_path / "out.json")
    assert main(["evaluate", *map(str, words)]) == 0
    got = Evaluation.read(tmp_path / "out.json")
    costs = (got.nll.sentence, got.rate.sentence, got.relaxed_rate.sentence)
    assert costs == pytest.approx(FORMAT_1[name], rel=1e-5)


def test_training_does_not_go_on_from_format_1(
    corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    config = corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "a"), train_steps=1000)
    words = ("-config", config, "-train_from", GOLDEN / "format1_gaussian.pt")
    assert "written before channels had a learned prior" in mistake("train", *words)


# ---- complete ------------------------------------------------------------------------------------


def keys_of_bottleneck(name: str) -> set[str]:
    maps = {f"map_{side}.{kind}" for side in ("in", "out") for kind in ("weight", "bias")}
    channel = maps | {f"channel.{tensor}" for tensor in ("log_sigma", "log_prior", "center")}
    return {
        "none": set(),
        "gaussian": channel,
        "lattice_z": channel | {"channel.places"},
        "lattice_a2": channel | {"channel.places"},
        "ste_scalar": {"entries", "logits", "batches", "usage"},
        "ste_vector": {"entries", "logits", "batches", "usage"},
    }[name]


def test_everything_of_the_bottleneck_is_in_the_checkpoint(trained: Trained, name: str) -> None:
    prefix = "encoder.bottleneck."
    checkpoint = load(trained(name))
    held = {k.removeprefix(prefix) for k in checkpoint["model"] if k.startswith(prefix)}
    assert keys_of_bottleneck(name) <= held
    loaded = load_autoencoder(trained(name))
    assert not loaded.model.training
    state = loaded.model.state_dict()
    for key, value in {
        **checkpoint["model"],
        **{f"generator.{k}": v for k, v in checkpoint["generator"].items()},
    }.items():
        assert torch.equal(state.pop(key), value), key
    assert state == {}
    assert loaded.step == checkpoint["onmt_lattice"]["step"] == 60


@pytest.mark.parametrize(
    "key",
    ["encoder.bottleneck.channel.log_sigma", "encoder.rnn.weight_ih_l0", "decoder.rnn.bias_ih_l0"],
)
def test_a_missing_extra_or_misshapen_key_is_refused(
    trained: Trained, tmp_path: Path, refused: Mistake, key: str
) -> None:
    source, path = trained("gaussian"), tmp_path / "a.pt"
    changed(source, path, lambda c: c["model"].pop(key))
    assert f"does not fit the model: missing ['{key}'], unexpected []" in refused(path)
    changed(source, path, lambda c: c["model"].update({f"{key}_": torch.zeros(1)}))
    assert f"does not fit the model: missing [], unexpected ['{key}_']" in refused(path)


def test_misshapen_weights_are_refused(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    key = "encoder.bottleneck.channel.log_sigma"
    path = changed(
        trained("gaussian"), tmp_path / "a.pt", lambda c: c["model"].update({key: torch.zeros(3)})
    )
    config = corpus.yaml(tmp_path / "resume.yaml", save_model=str(tmp_path / "resumed"))
    for words in (
        ("evaluate", "-model", path, "-src", corpus.test),
        ("train", "-config", config, "-train_from", path, "-train_steps", 1000),
    ):
        assert f"size mismatch for {key}" in mistake(*words)


def test_a_checkpoint_without_what_is_ours_is_refused(
    trained: Trained, tmp_path: Path, refused: Mistake
) -> None:
    source, path = trained("gaussian"), tmp_path / "a.pt"
    for key in ("step", "random_state", "batches_taken", "files", "rate_weight", "version"):
        changed(source, path, lambda c, k=key: c["onmt_lattice"].pop(k))
        assert f"checkpoint {path}: damaged, expected " in refused(path)
    changed(source, path, lambda c: c.update(onmt_lattice=None))
    assert f"checkpoint {path}: damaged, expected " in refused(path)


@pytest.mark.parametrize("glorot", [False, True])
def test_opennmt_s_initialisation_spares_the_bottleneck(
    build: Callable[..., Any], name: str, glorot: bool
) -> None:
    settings = {"bottleneck_dim": None, **BOTTLENECKS[name]}
    model = build(**settings, param_init=0.05, param_init_glorot=glorot).model
    bottleneck = model.encoder.bottleneck
    for linear in (bottleneck.map_in, bottleneck.map_out):
        if isinstance(linear, nn.Linear):
            m, n = linear.weight.shape
            small = linear.weight @ linear.weight.T if m <= n else linear.weight.T @ linear.weight
            # Orthogonal, but for its gain.
            torch.testing.assert_close(
                small / small.diagonal().mean(), torch.eye(min(m, n)), rtol=0, atol=1e-5
            )
            assert not linear.bias.any()
    for parameter in ("channel.log_sigma", "channel.log_prior", "logits"):
        if parameter in dict(bottleneck.named_parameters()):
            assert not bottleneck.get_parameter(parameter).any()
    if name.startswith("ste"):
        assert bottleneck.entries.std() > 0.5  # standard normal, not within 0.05
    if name.startswith("lattice"):
        lattice = bottleneck.channel.lattice
        assert lattice.second_moment == pytest.approx(1.0, rel=1e-6)
    if not glorot:
        assert model.encoder.rnn.weight_ih_l0.abs().max() <= 0.05


# ---- whole or not at all -------------------------------------------------------------------------


def test_a_failure_while_saving_leaves_nothing(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: Mistake
) -> None:
    save = torch.save

    def fails(checkpoint: Any, path: Path) -> None:
        save(checkpoint, path)
        with open(path, "r+b") as file:
            file.truncate(1000)
        raise RuntimeError("no space left")

    config = str(corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "m"), train_steps=2))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fails)
        assert "no space left" in mistake("train", "-config", config)
    assert {p.name for p in tmp_path.iterdir()} == {".m.lock", "a.yaml"}
    assert main(["train", "-config", config]) == 0
    before = (tmp_path / "m_step_2.pt").read_bytes()
    monkeypatch.setattr(torch, "save", fails)
    words = ("-resume", "auto", "-train_steps", "4")
    assert "no space left" in mistake("train", "-config", config, *words)
    assert (tmp_path / "m_step_2.pt").read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {".m.lock", "a.yaml", "m_step_2.pt"}


@pytest.mark.parametrize(("keep", "left"), [(-1, (1, 2, 3, 4, 5)), (2, (4, 5)), (1, (5,)), (0, ())])
def test_keep_checkpoint(corpus: Corpus, tmp_path: Path, keep: int, left: tuple[int, ...]) -> None:
    config = corpus.yaml(
        tmp_path / "a.yaml",
        save_model=str(tmp_path / "new" / "m"),
        train_steps=5,
        save_checkpoint_steps=1,
        keep_checkpoint=keep,
    )
    assert main(["train", "-config", str(config)]) == 0
    found = {p.name for p in tmp_path.glob("new/m_*")}
    assert found == {f"m_step_{step}.pt" for step in left}


def test_what_a_saved_checkpoint_tells(trained: Trained) -> None:
    from onmt_lattice.opennmt.schedules import RateWeight

    ours = load(trained("gaussian"))["onmt_lattice"]
    assert ours["rate_weight"] == RateWeight(midpoint=100)(60)
    assert ours["batches_taken"] == 60 and ours["files"] == {}


def test_random_state_round_trip() -> None:
    import random

    import numpy as np

    from onmt_lattice.opennmt.checkpoint import random_state, set_random_state

    def draw() -> tuple[Any, ...]:
        return torch.rand(3).tolist(), random.random(), np.random.rand(), np.random.randn()

    np.random.randn()  # leaves half a pair behind
    state = random_state()
    first = draw()
    set_random_state(state)
    assert draw() == first


def test_words_unknown_in_validation_stay_out_of_the_checkpoint(
    corpus: Corpus, tmp_path: Path
) -> None:
    data = {**corpus.settings()["data"], "valid": {"path_src": str(corpus.test)}}
    config = corpus.yaml(
        tmp_path / "a.yaml", save_model=str(tmp_path / "m"), data=data, train_steps=2, valid_steps=1
    )
    assert main(["train", "-config", str(config)]) == 0
    for side in ("src", "tgt"):
        vocabulary = load(tmp_path / "m_step_2.pt")["vocab"][side].base_field.vocab
        assert sorted(vocabulary.stoi) == sorted(vocabulary.itos)

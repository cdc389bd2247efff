"""What export writes is the model, is smaller, and says what evaluate measured; hubs read it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BOTTLENECKS, Corpus, Mistake, Trained, run, train
from huggingface_hub import ModelCard

import onmt_lattice as ol
from onmt_lattice.evaluation.result import Evaluation

MORE = {**BOTTLENECKS["lattice_a2"], "train_steps": 62, "save_checkpoint_steps": 62}


def evaluated(model: Path, corpus: Corpus, folder: Path, *more: object) -> Path:
    path = folder / "e.json"
    run("evaluate", "-model", model, "-src", corpus.test, "-output", path, *more)
    return path


@pytest.fixture
def shared(trained: Trained, corpus: Corpus, tmp_path: Path) -> Path:
    """Return the folder of a model."""
    model, folder = trained("lattice_a2"), tmp_path / "a2"
    path = evaluated(model, corpus, tmp_path, "-reconstruct", tmp_path / "said")
    run("export", "-model", model, "-evaluation", path, "-output", folder)
    return folder


def test_the_folder_is_the_model(
    shared: Path, trained: Trained, corpus: Corpus, tmp_path: Path
) -> None:
    checkpoint = trained("lattice_a2")
    names = ["README.md", "config.json", "model.safetensors"]
    assert sorted(path.name for path in shared.iterdir()) == names
    assert (shared / "model.safetensors").stat().st_size < 0.5 * checkpoint.stat().st_size
    sentences = ["the old baker sleeps", "the dogs run"]
    assert ol.load(shared).compress(sentences) == ol.load(checkpoint).compress(sentences)
    for command in ("translate", "encode", "compress"):
        outputs = [tmp_path / f"{command}_{model.name}" for model in (shared, checkpoint)]
        for model, output in zip((shared, checkpoint), outputs, strict=True):
            run(command, "-model", model, "-src", corpus.test, "-output", output)
        assert outputs[0].read_bytes() == outputs[1].read_bytes(), command
    before, after = (
        Evaluation.read(evaluated(model, corpus, tmp_path)) for model in (checkpoint, shared)
    )
    assert after.nll == before.nll and after.rate == before.rate and after.run == str(shared)


def test_a_model_is_not_replaced_by_what_is_left_of_it(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    """The state of its training would be lost."""
    model = tmp_path / "model.safetensors"
    shutil.copy(trained("lattice_a2"), model)
    words = ["-evaluation", evaluated(model, corpus, tmp_path), "-output", tmp_path]
    assert "its model.safetensors is -model itself" in mistake("export", "-model", model, *words)
    assert model.read_bytes() == trained("lattice_a2").read_bytes()
    assert not (tmp_path / "README.md").exists()


def test_folders_whose_names_have_dots_are_models_of_their_own(
    shared: Path, corpus: Corpus, tmp_path: Path
) -> None:
    models = [str(shutil.copytree(shared, tmp_path / f"gaussian_{cost}")) for cost in (0.1, 0.2)]
    run("evaluate", "-src", corpus.test, "-output", tmp_path / "results", "-model", *models)
    written = sorted((tmp_path / "results").iterdir())
    assert [path.name for path in written] == ["gaussian_0.1.json", "gaussian_0.2.json"]
    assert [Evaluation.read(path).run for path in written] == models


def test_hubs_read_the_card(shared: Path) -> None:
    measured, card = Evaluation.read(shared.parent / "e.json"), ModelCard.load(shared / "README.md")
    found = {r.metric_type: r.metric_value for r in card.data.eval_results or []}
    expected = {name: getattr(measured, name).word for name in ("nll", "rate", "total")}
    assert found == pytest.approx(expected, abs=1e-4)
    assert card.data.library_name == "onmt_lattice" and card.data.model_name == "a2"
    assert f"| rate | {measured.rate.token:.4f} | {measured.rate.word:.4f} | " in card.text
    assert "lattice A2, dithered quantization" in card.text and "reach BLEU" in card.text
    config = json.loads((shared / "config.json").read_text(encoding="utf-8"))
    assert config["bits"]["NLL"]["word"] == measured.nll.word
    assert config["options"]["lattice"] == "A2" and config["step"] == measured.step
    assert "| rnn_type | GRU |" in card.text


def test_a_training_may_start_from_it(shared: Path, corpus: Corpus, tmp_path: Path) -> None:
    config = corpus.yaml(tmp_path / "more.yaml", save_model=str(tmp_path / "m"), **MORE)
    train(config, "-train_from", shared / "model.safetensors")
    assert (tmp_path / "m_step_62.safetensors").is_file()


def test_a_model_of_no_code_offers_no_files(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    path = evaluated(trained("gaussian"), corpus, tmp_path)
    words = ["-evaluation", path, "-output", tmp_path / "g"]
    another = mistake("export", "-model", trained("lattice_a2"), *words)
    assert "gaussian at step 60; expected what 'onmt_lattice evaluate -model " in another
    assert not (tmp_path / "g").exists()
    run("export", "-model", trained("gaussian"), *words)
    card = (tmp_path / "g/README.md").read_text(encoding="utf-8")
    assert "this model writes no files" in card and "compress(" not in card


LOAD = """
import onmt_lattice as ol
print(ol.load("hf://someone/a2").encode(["the dogs run"]).shape[0])
try:
    ol.load("hf://someone/none")
except ol.UserError as error:
    print(error)
"""


def test_a_model_on_a_hub(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: Mistake
) -> None:
    """Its cache holds it; nothing is asked for from here."""
    place = tmp_path / "hub/models--someone--a2"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text("0" * 40)
    shutil.copytree(shared, place / "snapshots" / ("0" * 40))
    hub = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    command = [sys.executable, "-c", LOAD.replace("ol.UserError", "Exception")]
    done = subprocess.run(command, env={**os.environ, **hub}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "1" and said[1].startswith("hf://someone/none: no model.safetensors of it")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    missing = mistake("evaluate", "-model", "hf://someone/a2", "-src", "x")
    assert missing.endswith("hf://someone/a2: needs a package: pip install huggingface_hub")

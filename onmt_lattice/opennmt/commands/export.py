"""A folder to share a model: the model, its card, and the card's numbers."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, Template

from onmt_lattice import __version__
from onmt_lattice.bottlenecks import bottleneck_class
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Evaluation
from onmt_lattice.files import EXPORTED, model_file, write_json, write_text
from onmt_lattice.opennmt.checkpoint.contents import PLUGIN_KEY
from onmt_lattice.opennmt.checkpoint.loading import (
    LoadedAutoencoder,
    build_autoencoder,
    load_checkpoint,
)
from onmt_lattice.opennmt.checkpoint.saver import write_checkpoint
from onmt_lattice.opennmt.data.corpora import sides
from onmt_lattice.opennmt.data.sentences import transform_names
from onmt_lattice.opennmt.options.configuration import bottleneck_settings, has_attention
from onmt_lattice.opennmt.training import plugin

CARD_OPTIONS = """encoder_type decoder_type rnn_type enc_layers dec_layers enc_rnn_size dec_rnn_size
src_word_vec_size dropout rate_weight rate_weight_schedule optim learning_rate batch_size batch_type
train_steps average_decay seed""".split()
ATTENTION_OPTIONS = ("global_attention", "heads", "transformer_ff")
CARD = Path(__file__).with_name("model_card.md")


def export(model: str, evaluation: str, output: str) -> int:
    """Write the folder ``output`` of a checkpoint and its evaluation; return the model's size.

    The model is written last: an incomplete folder has none.
    """
    plugin.install()
    path = Path(output, EXPORTED)
    if path.resolve() == Path(model_file(model)).resolve():
        raise UserError(
            f"-output {output}: its {EXPORTED} is -model itself, which would lose the state of its "
            f"training; expected another folder"
        )
    measured = Evaluation.read(evaluation)
    checkpoint = load_checkpoint(model)
    loaded = build_autoencoder(model, checkpoint)
    _check_of_model(measured, evaluation, loaded, model)
    name = Path(output).resolve().name
    options = _options(loaded.opt)
    write_text(Path(output, "README.md"), _card(name, loaded, checkpoint, measured, options))
    costs = {cost: dataclasses.asdict(bits) for cost, bits in _costs(measured).items()}
    config = {
        "model_type": "onmt_lattice",
        "onmt_lattice": __version__,
        "step": loaded.step,
        "options": options,
        "bits": {"text": Path(measured.text).name, "seed": measured.seed, **costs},
    }
    write_json(Path(output, "config.json"), config)
    write_checkpoint(path, without_training(checkpoint))
    return path.stat().st_size


def without_training(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return ``checkpoint`` without the state of its training.

    That is: the optimizer's state, the parameters beside their average, the position in the data,
    and all processes but the first, whose random state stays.
    """
    optim, state = checkpoint["optim"], checkpoint[PLUGIN_KEY]
    state = {name: value for name, value in state.items() if name != "raw"}
    process = {"random_state": state["processes"][0]["random_state"]}
    return {
        **checkpoint,
        "optim": {**optim, "optimizer": {**optim["optimizer"], "state": {}}},
        PLUGIN_KEY: {**state, "processes": [process]},
    }


def _check_of_model(measured: Evaluation, path: str, loaded: LoadedAutoencoder, model: str) -> None:
    opt = loaded.opt
    identity = loaded.step, opt.bottleneck, bottleneck_settings(opt), loaded.quantized
    if identity != (measured.step, measured.bottleneck, measured.settings, measured.quantized):
        raise UserError(
            f"-evaluation {path}: of {measured.model}, {measured.label} at step {measured.step}; "
            f"expected what 'onmt_lattice evaluate -model {model} -output FILE' writes"
        )


def _options(opt: Namespace) -> dict[str, Any]:
    names = [*CARD_OPTIONS, *(ATTENTION_OPTIONS if has_attention(opt) else ())]
    values = {name: getattr(opt, name) for name in names}
    return {"bottleneck": opt.bottleneck, **bottleneck_settings(opt), **values}


def _costs(measured: Evaluation) -> dict[str, Any]:
    return {"NLL": measured.nll, "rate": measured.rate, "total": measured.total}


def _card(
    name: str,
    loaded: LoadedAutoencoder,
    checkpoint: dict[str, Any],
    e: Evaluation,
    options: dict[str, Any],
) -> str:
    """Return the model card: YAML that hubs read, then Markdown."""
    text = Path(e.text).name
    metrics = [
        {"type": cost.lower(), "name": f"{cost}, bits per word", "value": round(bits.word, 4)}
        for cost, bits in _costs(e).items()
    ]
    result = {
        "task": {"type": "text-autoencoding" if e.source is None else "text2text-generation"},
        "dataset": {"type": text, "name": text},
        "metrics": metrics,
    }
    task = "autoencoder" if e.source is None else "seq2seq"
    head = {
        "library_name": "onmt_lattice",
        "tags": ["opennmt-py", task, "text-compression", e.bottleneck],
        "model-index": [{"name": name, "results": [result]}],
    }
    corpora = [c for key, c in checkpoint["opt"].data.items() if key != "valid"]
    transforms = " and ".join(transform_names(loaded))
    bottleneck = bottleneck_class(e.bottleneck)
    template = Template(
        CARD.read_text(encoding="utf-8"), undefined=StrictUndefined, trim_blocks=True
    )
    return template.render(
        head=yaml.safe_dump(head, sort_keys=False, allow_unicode=True),
        name=name,
        e=e,
        loaded=loaded,
        summary=bottleneck.summary,
        has_code=bottleneck.has_code(e.settings),
        texts=", ".join(Path(c[f"path_{side}"]).name for c in corpora for side in sides(c)),
        text=text,
        vocabulary=len(loaded.fields["tgt"].base_field.vocab),
        parameters=sum(p.numel() for p in loaded.model.parameters()),
        transforms=f", then by {transforms}" if transforms else "",
        costs=_costs(e),
        options=options,
        version=__version__,
    )

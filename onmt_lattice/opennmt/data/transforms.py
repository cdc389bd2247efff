"""OpenNMT-py's transforms of the text, whose mistakes in files and options are told in a line."""

from __future__ import annotations

import ast
import io
from argparse import Namespace
from contextlib import redirect_stderr
from typing import Any

import onmt.transforms
from onmt.transforms.tokenize import TokenizerTransform

from onmt_lattice.errors import UserError

SIDES = ("src", "tgt")
# What the file of -src_subword_model is expected to be.
SUBWORD_MODELS = {
    "bpe": "; expected codes as 'subword-nmt learn-bpe' writes them",
    "sentencepiece": "; expected a .model as sentencepiece writes it",
}
NO_TOKENIZER = (
    "; expected pyonmttok, which has no wheels for Python 3.13 and later: use an older Python, or "
    "tokenize the text beforehand"
)
MISTAKES = (
    AssertionError,
    ImportError,
    OSError,
    RuntimeError,
    SystemExit,  # by which subword_nmt refuses a line of its codes
    TypeError,
    ValueError,
)


def make_transforms(
    opt: Namespace, transforms: dict[str, type], fields: dict[str, Any] | None
) -> dict[str, Any]:
    """Build ``transforms``, by name, as OpenNMT-py does."""
    built: dict[str, Any] = {}
    for name, cls in transforms.items():
        with io.StringIO() as said, redirect_stderr(said):
            try:
                built |= _stock_make_transforms(opt, {name: cls}, fields)
            except MISTAKES as error:
                why = said.getvalue() if isinstance(error, SystemExit) else str(error)
                missing = isinstance(error, ImportError) and error.name == "pyonmttok"
                cure = NO_TOKENIZER if missing else SUBWORD_MODELS.get(name, "")
                raise UserError(
                    f"transform {name}{_given(opt, cls)}: cannot be built: "
                    f"{' '.join(why.split())}{cure}"
                ) from error
    return built


_stock_make_transforms = onmt.transforms.make_transforms


def _given(opt: Namespace, cls: type) -> str:
    """Return the options that ``cls`` is built from, where there are some."""
    if not issubclass(cls, TokenizerTransform):
        return ""
    names = ["subword_model", "subword_vocab"]
    if cls.__name__ == "ONMTTokenizerTransform":
        names.append("onmttok_kwargs")
    given = []
    for name in names:
        source, target = (getattr(opt, f"{side}_{name}", None) for side in SIDES)
        given += [f"-src_{name} {source}"] if source else []
        given += [f"-tgt_{name} {target}"] if target and target != source else []
    return f" of {', '.join(given)}" if given else ""


def check_tokenizer_options(opt: Namespace) -> None:
    """Refuse options of pyonmttok that are no dictionary; OpenNMT-py would run them as code."""
    for name in (f"{side}_onmttok_kwargs" for side in SIDES):
        text = getattr(opt, name)
        try:
            given = ast.literal_eval(text)
        except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise UserError(
                f"-{name} {text}: expected a dictionary in Python's notation, such as "
                f"{{'mode': 'aggressive', 'joiner_annotate': True}}"
            )

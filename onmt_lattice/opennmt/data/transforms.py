"""OpenNMT-py's transforms, with one-line errors for wrong files and options."""

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
# SystemExit is from subword_nmt, for a wrong line in its codes.
MISTAKES = (AssertionError, ImportError, OSError, RuntimeError, SystemExit, TypeError, ValueError)


def make_transforms(
    opt: Namespace, transforms: dict[str, type], fields: dict[str, Any] | None
) -> dict[str, Any]:
    """Build ``transforms``, by name, as OpenNMT-py does."""
    built: dict[str, Any] = {}
    for name, cls in transforms.items():
        with io.StringIO() as stderr, redirect_stderr(stderr):
            try:
                built |= _stock_make_transforms(opt, {name: cls}, fields)
            except MISTAKES as error:
                reason = stderr.getvalue() if isinstance(error, SystemExit) else str(error)
                missing = isinstance(error, ImportError) and error.name == "pyonmttok"
                cure = NO_TOKENIZER if missing else SUBWORD_MODELS.get(name, "")
                raise UserError(
                    f"transform {name}{_files_and_options(opt, cls)}: cannot be built: "
                    f"{' '.join(reason.split())}{cure}"
                ) from error
    return built


_stock_make_transforms = onmt.transforms.make_transforms


def _files_and_options(opt: Namespace, cls: type) -> str:
    """Return the options of a tokenizer as a phrase."""
    if not issubclass(cls, TokenizerTransform):
        return ""
    names = ["subword_model", "subword_vocab"]
    if cls.__name__ == "ONMTTokenizerTransform":
        names.append("onmttok_kwargs")
    options = []
    for name in names:
        source, target = (getattr(opt, f"{side}_{name}", None) for side in SIDES)
        options += [f"-src_{name} {source}"] if source else []
        options += [f"-tgt_{name} {target}"] if target and target != source else []
    return f" of {', '.join(options)}" if options else ""


def check_tokenizer_options(opt: Namespace) -> None:
    """Refuse options of pyonmttok that are not a dictionary; OpenNMT-py would run them as code."""
    for name in (f"{side}_onmttok_kwargs" for side in SIDES):
        text = getattr(opt, name)
        try:
            options = ast.literal_eval(text)
        except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError):
            options = None
        if not isinstance(options, dict):
            raise UserError(
                f"-{name} {text}: expected a dictionary in Python's notation, such as "
                f"{{'mode': 'aggressive', 'joiner_annotate': True}}"
            )

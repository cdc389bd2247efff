"""Building the vocabulary: OpenNMT-py's counts, with each sentence counted once."""

from __future__ import annotations

import os
from argparse import Namespace
from collections import Counter

from onmt.inputters.corpus import build_vocab as count_tokens
from onmt.transforms import get_transforms_cls
from onmt.utils.logging import init_logger, logger
from onmt.utils.misc import set_random_seed
from onmt.utils.parse import ArgumentParser

from onmt_lattice.config import check_ranges
from onmt_lattice.errors import UserError
from onmt_lattice.files import check_output, write_lines
from onmt_lattice.opennmt.data.corpora import check_data, check_texts, is_autoencoder, sides
from onmt_lattice.opennmt.data.transforms import check_tokenizer_options, make_transforms
from onmt_lattice.opennmt.model.autoencoder import SPECIAL
from onmt_lattice.opennmt.options.parsers import build_vocab_parser, train_parser, translate_parser
from onmt_lattice.opennmt.options.parsing import parse
from onmt_lattice.opennmt.options.ranges import RANGES
from onmt_lattice.opennmt.training import plugin


def build_vocab(argv: list[str]) -> None:
    """Run ``onmt_lattice build_vocab`` with the options in ``argv``."""
    opt = parse(build_vocab_parser, argv, also_in_config=(train_parser, translate_parser))
    plugin.install()
    init_logger()
    check_data(opt)
    check_options(opt)
    check_texts(opt.data)
    counters = count(opt)
    if not all(counters.values()):
        paths = ", ".join(c[f"path_{side}"] for c in opt.data.values() for side in sides(c))
        raise UserError(f"-data: no token was found in {paths}; expected text, a sentence a line")
    for path, counter in counters.items():
        write_lines(path, (f"{token}\t{count}" for token, count in counter.most_common()))
        logger.info("%d tokens written to %s", len(counter), path)


def check_options(opt: Namespace) -> None:
    """Check and complete ``opt``."""
    for side in ("src",) if opt.share_vocab else ("src", "tgt"):
        path = getattr(opt, f"{side}_vocab")
        check_output(path, f"-{side}_vocab")
        if os.path.exists(path) and not opt.overwrite:
            raise UserError(f"-{side}_vocab {path}: exists already; -overwrite replaces it")
    check_ranges(vars(opt), RANGES)
    check_tokenizer_options(opt)
    if opt.n_sample in (0, 1):
        raise UserError(f"-n_sample {opt.n_sample}: expected -1 (all lines) or more than 1")
    if opt.dump_samples and not opt.save_data:
        raise UserError("-dump_samples: expected a -save_data path to write the samples under")
    opt.save_data = opt.save_data or os.path.dirname(opt.src_vocab) or "."
    try:
        ArgumentParser.validate_prepare_opts(opt, build_vocab_only=True)
    except (AssertionError, ValueError, OSError) as error:
        raise UserError(" ".join(str(error).split())) from error
    texts = {os.path.realpath(c[f"path_{side}"]) for c in opt.data.values() for side in sides(c)}
    for name in ("src_vocab", "tgt_vocab"):
        path = getattr(opt, name)
        if path and os.path.realpath(path) in texts:
            raise UserError(f"-{name} {path}: is a text of -data as well; expected another file")


def count(opt: Namespace) -> dict[str, Counter[str]]:
    """Return the counts of the words of the corpora, after the transforms, by vocabulary path.

    A shared vocabulary has the counts of both sides; an autoencoder's sentences are counted once.
    Words that are written like special tokens are unknown, and not counted.
    """
    set_random_seed(opt.seed, False)
    transforms = make_transforms(opt, get_transforms_cls(opt._all_transform), None)
    source, target, _ = count_tokens(opt, transforms, n_sample=opt.n_sample)
    counters = {opt.src_vocab: source}
    if not opt.share_vocab:
        counters[opt.tgt_vocab] = target
    elif not is_autoencoder(opt.data):
        source.update(target)
    return {
        path: Counter({token: n for token, n in counter.items() if token not in SPECIAL})
        for path, counter in counters.items()
    }

"""Building the vocabulary: OpenNMT-py's counting, each sentence counted once."""

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
from onmt_lattice.opennmt.data.corpora import check_texts, target_is_source
from onmt_lattice.opennmt.data.transforms import check_tokenizer_options, make_transforms
from onmt_lattice.opennmt.model.autoencoder import SPECIAL
from onmt_lattice.opennmt.options.parsers import build_vocab_parser, train_parser, translate_parser
from onmt_lattice.opennmt.options.parsing import parse
from onmt_lattice.opennmt.options.ranges import RANGES
from onmt_lattice.opennmt.training import plugin


def build_vocab(argv: list[str]) -> None:
    """Run ``onmt_lattice build_vocab`` with the words behind the subcommand.

    Raises:
        UserError: for a mistake in the options, an empty corpus, or a vocabulary that exists
            already where ``-overwrite`` was not given.
    """
    opt = parse(build_vocab_parser, argv, also_in_config=(train_parser, translate_parser))
    plugin.install()
    init_logger()
    target_is_source(opt)
    check_options(opt)
    check_texts(opt.data)
    counter = count(opt)
    if not counter:
        raise UserError(
            f"-data: no token was found in {corpora(opt)}; expected text, a sentence a line"
        )
    write_lines(opt.src_vocab, (f"{token}\t{count}" for token, count in counter.most_common()))
    logger.info("%d tokens written to %s", len(counter), opt.src_vocab)


def check_options(opt: Namespace) -> None:
    """Check and complete ``opt``.

    Raises:
        UserError: naming the option that is wrong.
    """
    check_output(opt.src_vocab, "-src_vocab")
    if os.path.exists(opt.src_vocab) and not opt.overwrite:
        raise UserError(f"-src_vocab {opt.src_vocab}: exists already; -overwrite replaces it")
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


def count(opt: Namespace) -> Counter[str]:
    """Return the count of every word of the training corpora after their transforms.

    Words that are written like special tokens are unknown, and not counted.

    Target and source are the same lines, so only the source's counts are taken: OpenNMT-py would
    add up both.
    """
    set_random_seed(opt.seed, False)
    transforms = make_transforms(opt, get_transforms_cls(opt._all_transform), None)
    source, _, _ = count_tokens(opt, transforms, n_sample=opt.n_sample)
    return Counter({token: n for token, n in source.items() if token not in SPECIAL})


def corpora(opt: Namespace) -> str:
    """Return the paths of the corpora as one phrase."""
    return ", ".join(corpus["path_src"] for corpus in opt.data.values())

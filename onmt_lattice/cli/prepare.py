"""``onmt_lattice prepare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.errors import UserError
from onmt_lattice.experiments.environment import cores
from onmt_lattice.experiments.prepare.sources import FULL_NEWSTEST2014, MODEL_FILES, TEXTS, Options
from onmt_lattice.files import check_folder, check_output
from onmt_lattice.ranges import COUNT, SEED, check_ranges

if TYPE_CHECKING:
    from onmt_lattice.experiments.prepare.manifest import Manifest


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice prepare",
        description="Prepare the paper's data, in subword units, a sentence a line, to train, "
        "validate and test on.",
        epilog="example: onmt_lattice prepare wmt16 -output data/wmt16",
    )
    commands = p.add_subparsers(dest="text", metavar="TEXT", required=True)
    _add_wmt16(
        commands.add_parser(
            "wmt16",
            help="the English side of WMT16 German-English",
            description="Prepare the paper's data, the English side of WMT16 German-English: "
            "download Europarl v7, Common Crawl, News Commentary v11 and the test sets (1.2 GB), "
            "tokenise as Moses does, keep the pairs of sentences of 1 to 80 tokens, learn a "
            "subword model on them and segment. Leaves in -output: train.en, valid.en "
            "(newstest2013), newstest2014.en, newstest2015.en, newstest2016.en, the subword "
            "model, vocab.txt (a unit, a tab, its count), data.yaml for OpenNMT-py and "
            "manifest.json. Can be interrupted, and resumes when run again; does nothing when "
            "all is done.",
            epilog="example: onmt_lattice prepare wmt16 -output data/wmt16",
        )
    )
    _add_newstest2014(
        commands.add_parser(
            "newstest2014",
            help="newstest2014's English sentences alone",
            description="Write newstest2014's 3,003 English sentences in Moses tokens, and if "
            "asked in subword units, by way of sacrebleu (its test set wmt14/full, which it "
            "downloads once).",
            epilog="example: onmt_lattice prepare newstest2014 -output newstest2014.en",
        )
    )
    return p


def _add_wmt16(p: Parser) -> None:
    p.option(
        "output",
        type=Path,
        default=Path("data/wmt16"),
        metavar="DIR",
        help="folder that everything goes to (default: data/wmt16)",
    )
    p.option(
        "subword",
        choices=sorted(MODEL_FILES),
        default="bpe",
        help="bpe: Moses tokens, segmented beforehand, merges in subword-nmt's format; "
        "sentencepiece: sentences as they are, which OpenNMT-py segments as it reads "
        "(default: bpe)",
    )
    p.option(
        "merges", type=int, default=32_000, metavar="N", help="merges or pieces (default: 32000)"
    )
    p.option(
        "joint_bpe",
        action="store_true",
        help="learn the subword model and count the vocabulary on both languages, as the "
        "tutorial does, not on English alone",
    )
    p.option(
        "max_tokens",
        type=int,
        default=80,
        metavar="N",
        help="drop pairs with more Moses tokens on either side (default: 80)",
    )
    p.option(
        "seed",
        type=int,
        default=1,
        metavar="N",
        help="of the training sentences' order (default: 1)",
    )
    p.option("keep_order", action="store_true", help="do not shuffle the training sentences")
    p.option("from", dest="given", type=Path, metavar="DIR", help="use the archives in this folder")
    p.option("mirror", metavar="URL", help="download URL/de-en.tgz and so on, not from statmt.org")
    p.option(
        "checksums", type=Path, metavar="FILE", help="insist on these SHA-256, as of sha256sum"
    )
    p.option(
        "tries",
        type=int,
        default=6,
        metavar="N",
        help="attempts without one new byte after which a download is given up (default: 6); "
        "between them 1, 2, 4 ... 60 seconds",
    )
    p.option(
        "workers", type=int, default=cores(), metavar="N", help="processes (default: one per core)"
    )
    p.option(
        "keep_work", action="store_true", help="keep the tokens (0.7 GB), to try other -merges"
    )
    p.option("redo", action="store_true", help="replace data that was prepared with other options")


def _add_newstest2014(p: Parser) -> None:
    p.option(
        "output",
        type=Path,
        default=Path("newstest2014.en"),
        metavar="FILE",
        help="file to write, a sentence a line (default: newstest2014.en)",
    )
    p.option(
        "subword_model",
        type=Path,
        metavar="FILE",
        help="segment with these BPE merges (bpe.codes), or this sentencepiece model (*.model)",
    )
    p.option(
        "from", dest="given", type=Path, metavar="DIR", help=f"use DIR/{FULL_NEWSTEST2014.archive}"
    )


def run(argv: list[str]) -> None:
    """Prepare the text that ``argv`` names and print what there is.

    Raises:
        UserError: for a mistake in ``argv``, and what the preparation raises.
    """
    args = parser().parse_args(argv)
    if args.given is not None and not args.given.is_dir():
        raise UserError(f"-from {args.given}: there is no such folder")
    text = vars(args).pop("text")
    if text == "wmt16":
        _check(args)
        check_folder(args.output, "-output")

        from onmt_lattice.experiments.prepare import wmt16

        print(_summary(wmt16.prepare(Options(**vars(args)))))
    else:
        check_output(args.output, "-output")

        from onmt_lattice.experiments.prepare import newstest

        facts = newstest.prepare(args.output, args.given, args.subword_model)
        print(f"{args.output}: {facts['sentences']:,} sentences, {facts['units']:,} tokens")


def _check(args: argparse.Namespace) -> None:
    counts = dict.fromkeys(("merges", "max_tokens", "tries", "workers"), COUNT)
    check_ranges(vars(args), counts | {"seed": SEED})
    if args.mirror and not args.mirror.startswith(("http://", "https://")):
        raise UserError(f"-mirror {args.mirror}: expected an address, http:// or https://")


def _summary(manifest: Manifest) -> str:
    """Return what is there, and what of it this run has made."""
    lines = []
    for name in ("train", *TEXTS):
        facts = manifest.facts(name)
        path = manifest.folder / f"{name}.en"
        lines.append(f"{path}: {facts['sentences']:,} sentences, {facts['units']:,} units")
    vocabulary = manifest.facts("train")["vocabulary"]
    lines.append(f"{manifest.folder / 'vocab.txt'}: {vocabulary:,} units")
    made = ", ".join(name for name in manifest.done if "/" not in name)
    lines.append(f"made now: {made}" if manifest.done else "nothing to do: all was up to date")
    return "\n".join(lines)

"""``onmt_lattice prepare``: its arguments, and what they set going."""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path
from typing import Any

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.environment import cores
from onmt_lattice.errors import UserError
from onmt_lattice.prepare import newstest, wmt16
from onmt_lattice.prepare.download import Retries
from onmt_lattice.prepare.manifest import Manifest
from onmt_lattice.prepare.options import Options
from onmt_lattice.prepare.subword import MODEL_FILES

WMT16 = """\
Prepare the paper's data, the English side of WMT16 German-English: download Europarl v7, Common
Crawl, News Commentary v11 and the test sets (1.2 GB), tokenise as Moses does, keep the pairs of
sentences of 1 to 80 tokens, learn a subword model on them and segment. Writes train.en, valid.en
(newstest2013), newstest2014.en, newstest2015.en, newstest2016.en, the subword model, vocab.txt
(a unit, a tab, its count), data.yaml for OpenNMT-py and manifest.json. Can be interrupted, and
goes on when run again; does nothing when all is done.
"""

NEWSTEST2014 = """\
Write newstest2014's 3,003 English sentences in Moses tokens, and if asked in subword units, by
way of sacrebleu (its test set wmt14/full, which it downloads once).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the commands "wmt16" and "newstest2014" with their options."""
    commands = parser.add_subparsers(dest="data", metavar="DATA", required=True)
    for name, text, example, add in (
        ("wmt16", WMT16, "--out data/wmt16", add_wmt16_arguments),
        ("newstest2014", NEWSTEST2014, "--out newstest2014.en", add_newstest2014_arguments),
    ):
        command = commands.add_parser(
            name,
            description=text,
            help=re.split(r"[:,]\s", text)[0].replace("\n", " "),
            epilog=f"example: onmt_lattice prepare {name} {example}",
        )
        add(command)


def add_wmt16_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options of "wmt16"."""
    add = partial(_option, parser)
    add("out", type=Path, default=Path("data/wmt16"), metavar="DIR", help="folder (data/wmt16)")
    add(
        "subword",
        choices=sorted(MODEL_FILES),
        default="bpe",
        help="bpe: Moses tokens, segmented beforehand, merges in subword-nmt's format; "
        "sentencepiece: sentences as they are, which OpenNMT-py segments as it reads (bpe)",
    )
    add("merges", type=_positive, default=32_000, metavar="N", help="merges or pieces (32000)")
    add(
        "joint-bpe",
        action="store_true",
        help="learn the subword model and count the vocabulary on both languages, as the "
        "tutorial does, not on English alone",
    )
    add(
        "max-tokens",
        type=_positive,
        default=80,
        metavar="N",
        help="drop pairs with more Moses tokens on either side (80)",
    )
    add("seed", type=_seed, default=1, metavar="N", help="of the training sentences' order (1)")
    add("keep-order", action="store_true", help="do not shuffle the training sentences")
    add("from", dest="given", type=Path, metavar="DIR", help="use the archives in this folder")
    add("mirror", metavar="URL", help="download URL/de-en.tgz and so on, not from statmt.org")
    add("checksums", type=Path, metavar="FILE", help="insist on these SHA-256, as of sha256sum")
    add(
        "tries",
        type=_positive,
        default=6,
        metavar="N",
        help="attempts without one new byte after which a download is given up (6); "
        "between them 1, 2, 4 ... 60 seconds",
    )
    add("workers", type=_positive, default=cores(), metavar="N", help="processes (one a core)")
    add("keep-work", action="store_true", help="keep the tokens (0.7 GB), to try other --merges")
    add("redo", action="store_true", help="replace data that was prepared with other options")


def add_newstest2014_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the options of "newstest2014"."""
    add = partial(_option, parser)
    add(
        "out",
        type=Path,
        default=Path("newstest2014.en"),
        metavar="FILE",
        help="file to write, a sentence a line (newstest2014.en)",
    )
    add(
        "subword-model",
        type=Path,
        metavar="FILE",
        help="segment with these BPE merges (bpe.codes), or this sentencepiece model (*.model)",
    )
    add("from", dest="given", type=Path, metavar="DIR", help=f"use DIR/{newstest.ARCHIVE}")


def _option(parser: argparse.ArgumentParser, name: str, **how: Any) -> None:
    """Add an option that takes one dash, as OpenNMT-py's do, or two."""
    parser.add_argument(f"--{name}", f"-{name}", **how)


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice prepare",
        description="Prepare the paper's data, in subword units, a sentence a line, to train, "
        "validate and test on.",
        epilog="example: onmt_lattice prepare wmt16 --out data/wmt16",
    )
    add_arguments(p)
    return p


def run(argv: list[str]) -> None:
    """Prepare the data that ``argv`` names; raises :class:`UserError`."""
    args = parser().parse_args(argv)
    prepare = {"wmt16": run_wmt16, "newstest2014": run_newstest2014}
    prepare[args.data](args)


def run_wmt16(args: argparse.Namespace) -> None:
    """Prepare WMT16 and print what there is."""
    _check_folder(args.given)
    if args.mirror and not args.mirror.startswith(("http://", "https://")):
        raise UserError(f"--mirror {args.mirror}: expected an address, http:// or https://")
    options = Options(
        out=args.out,
        subword=args.subword,
        merges=args.merges,
        joint=args.joint_bpe,
        longest=args.max_tokens,
        seed=None if args.keep_order else args.seed,
        workers=args.workers,
        given=args.given,
        mirror=args.mirror,
        checksums=args.checksums,
        retries=Retries(tries=args.tries),
        keep_work=args.keep_work,
        redo=args.redo,
    )
    print(_summary(wmt16.prepare(options)))


def run_newstest2014(args: argparse.Namespace) -> None:
    """Prepare newstest2014 and print what there is."""
    _check_folder(args.given)
    facts = newstest.prepare(args.out, args.given, args.subword_model)
    print(f"{args.out}: {facts['sentences']:,} sentences, {facts['units']:,} tokens")


def _summary(manifest: Manifest) -> str:
    """Return what is there, and what of it this run has made."""
    lines = []
    for name in ("train", "valid", *wmt16.TESTS):
        facts = manifest.facts(name) or {}
        path = manifest.folder / f"{name}.en"
        lines.append(f"{path}: {facts['sentences']:,} sentences, {facts['units']:,} units")
    vocabulary = (manifest.facts("train") or {})["vocabulary"]
    lines.append(f"{manifest.folder / 'vocab.txt'}: {vocabulary:,} units")
    made = ", ".join(name for name in manifest.done if "/" not in name)
    lines.append(f"made now: {made}" if manifest.done else "nothing to do: all was up to date")
    return "\n".join(lines)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 32:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {(1 << 32) - 1}")
    return int(text)


def _check_folder(folder: Path | None) -> None:
    if folder is not None and not folder.is_dir():
        raise UserError(f"--from {folder}: there is no such folder")

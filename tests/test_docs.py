"""docs/ is indexed, and what is written from the code is of today's code."""

from __future__ import annotations

import importlib
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "scripts/make_api_page.py"))
API = (ROOT / "docs/api.md").read_text(encoding="utf-8")


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").glob("**/*.md")}
    assert [p for p in pages - {Path("README.md")} if f"]({p})" not in index] == []


def test_the_library_page_is_of_todays_docstrings() -> None:
    assert SCRIPT["page"]() == API, "run scripts/make_api_page.py"


@pytest.mark.parametrize("package", SCRIPT["PACKAGES"])
def test_the_library_page_names_every_public_name(package: str) -> None:
    section = API.split(f"## onmt_lattice.{package}\n")[1].split("\n## ")[0]
    names = importlib.import_module(f"onmt_lattice.{package}").__all__
    assert [n for n in names if f"### `{n}(" not in section] == []


# What a reader in a hurry has to decode, and the usual words for it.
UNUSUAL = {
    r"bits an? (word|sentence|dimension|token)": "bits per ...",
    r"(is|are|and) told|tells": "is logged, is reported, shows",
    r"goes on|go on|gone on|going on": "continues, resumes",
    r"left out|leaves? out": "skipped",
    r"is no number|is no vocabulary|no UTF-8": "not a number, not a vocabulary file, not UTF-8",
}
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md"), ROOT / "data/README.md"]


@pytest.mark.parametrize("words", UNUSUAL, ids=UNUSUAL.values())
def test_pages_use_the_usual_words(words: str) -> None:
    pages = [page for page in PAGES if page != ROOT / "docs/api.md"]  # of the docstrings
    found = [
        f"{page.relative_to(ROOT)}:{number}: {line}"
        for page in pages
        for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), 1)
        if re.search(rf"\b({words})\b", line)
    ]
    assert found == []

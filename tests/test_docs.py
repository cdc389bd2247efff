"""docs/ is indexed, and what is written from the code is of today's code."""

from __future__ import annotations

import importlib
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

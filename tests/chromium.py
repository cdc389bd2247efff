"""What headless Chromium says of a page."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium keeps to itself what it could not load, and what does not fit: said to the console.
PROBE = """<script>
addEventListener("error", e => {
  if (e.target !== window) console.error("not loaded: " + (e.target.src || e.target.href));
}, true);
addEventListener("load", () => {
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth) console.error("wider than the window: " + width);
});
</script>"""


class Opened(NamedTuple):
    """A page as Chromium has it: its exit status, its console's messages and the DOM as HTML."""

    status: int
    console: list[str]
    dom: str


def browser() -> str | None:
    """Return the path of Chromium, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def opened(page: Path, width: int = 1200) -> Opened:
    """Open ``page`` in a window of ``width`` pixels and return what came of it."""
    path = browser()
    assert path is not None
    probed = page.with_name(f"probed_{page.name}")
    html = page.read_text(encoding="utf-8")
    assert "<head>" in html
    probed.write_text(html.replace("<head>", f"<head>{PROBE}", 1), encoding="utf-8")
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    words += [f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},900"]
    words += ["--enable-logging=stderr", "--v=0", "--dump-dom", probed.resolve().as_uri()]
    done = subprocess.run(
        [path, *words], capture_output=True, encoding="utf-8", errors="replace", timeout=120
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Opened(done.returncode, console, done.stdout)

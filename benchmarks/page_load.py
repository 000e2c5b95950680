"""How long a page takes to load in Chromium, until its ``load`` event.

python -m benchmarks.page_load report.html [TIMES]
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

PROBE = """<script>addEventListener("load", () => {
  document.documentElement.dataset.loaded = Math.round(performance.now()); });</script>"""


def main() -> None:
    """Print the milliseconds of each time, and their median."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("there is no chromium; apt-get install chromium")
    page, times = Path(sys.argv[1]).read_text(), int([*sys.argv, "3"][2])
    with tempfile.TemporaryDirectory() as name:
        probed = Path(name) / "page.html"
        probed.write_text(page.replace("<style>", f"{PROBE}<style>", 1))
        found = [loaded(browser, probed, Path(name) / str(each)) for each in range(times)]
    print(f"{', '.join(map(str, found))} ms; median {median(found):.0f} ms")


def loaded(browser: str, page: Path, profile: Path) -> int:
    """Milliseconds, with a new profile, so that nothing is kept of an earlier time."""
    done = subprocess.run(
        [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--user-data-dir={profile}", "--window-size=1440,900", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r'data-loaded="(\d+)"', done.stdout)
    if found is None:
        raise RuntimeError(done.stderr)
    return int(found[1])


if __name__ == "__main__":
    main()

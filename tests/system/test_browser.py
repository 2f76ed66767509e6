"""The report's page in a browser: on a phone and on a desk, light and dark, with the network out of reach."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from places import GOLDEN
from tonearm.bench.report.html import write_html
from tonearm.bench.results.store import load

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine: apt install chromium")
SECONDS = 120
LIGHT, DARK = 1, 0
# Put into a copy of the page, which itself has no script: what the reader's browser made of it.
PROBE = """<script>addEventListener("load", () => {
const plots = [...document.querySelectorAll("svg")], page = document.documentElement;
const seen = element => getComputedStyle(element);
parent.postMessage(JSON.stringify({
  width: innerWidth, scrolled: page.scrollWidth, fetched: performance.getEntriesByType("resource").map(e => e.name),
  plots: plots.map(plot => plot.getBoundingClientRect().width),
  letters: plots.map(plot => plot.querySelector("text").getBoundingClientRect().height),
  inks: [...new Set(plots.map(plot => seen(plot.querySelector("text")).fill))],
  text: seen(document.body).color, dark: matchMedia("(prefers-color-scheme: dark)").matches,
  tables: [...document.querySelectorAll(".wide")].some(box => box.scrollWidth > box.clientWidth)}), "*")})</script>"""

# A window of Chromium is never narrower than 500 pixels; a frame in it is.
FRAME = """<!doctype html><style>:root {{ color-scheme: light dark }}</style>
<script>onmessage = told => document.documentElement.dataset.seen = told.data</script>
<iframe src="report.html" style="border: 0; width: {}px; height: 900px"></iframe>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(load(GOLDEN / "recorded"), path)
    path.write_text(path.read_text().replace("</html>", PROBE + "</html>"))
    return path


def look(page: Path, width: int, scheme: int, profile: Path) -> dict[str, Any]:
    """What the probe saw in a frame of that width."""
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(width))
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
        *(
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={profile}",
            "--window-size=1400,1000",
            "--virtual-time-budget=10000",
        ),
        *(f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom", frame.as_uri()),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    found = re.search(r'data-seen="([^"]*)"', shown)
    assert found, f"the page did not load: {shown[:500]}"
    return json.loads(unescape(found[1]))


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_whole_and_never_scrolls_sideways(page: Path, width: int, scheme: int, tmp_path: Path) -> None:
    seen = look(page, width, scheme, tmp_path / "profile")
    assert seen["dark"] == (scheme == DARK) and seen["width"] == width
    assert seen["scrolled"] <= width, "the page itself scrolls sideways"
    assert seen["tables"] or width > 360, "wide tables scroll in their own box"
    assert seen["fetched"] == []
    assert len(seen["plots"]) == page.read_text().count("<svg") > 5
    assert all(200 < plot <= min(width, 460) for plot in seen["plots"])
    assert min(seen["letters"]) >= 9, "letters of a plot are readable"
    assert seen["inks"] == [seen["text"]], "plots are drawn in the colour of the page's text"

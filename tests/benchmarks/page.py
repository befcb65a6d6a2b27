"""The page of 1,000 examples of 200 tokens: seconds to write it, and until a browser has it ready."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.report.conftest import ARGUMENTS, CHROMIUM
from tests.report.made import made_run
from xtf.report import write_report

TIMES = 3


def page_seconds() -> dict[str, Any]:
    """Figures ``page.write_seconds``, and ``page.ready_seconds`` where there is a Chromium."""
    rng = np.random.default_rng(0)
    pieces = [bytes(rng.integers(97, 123, 6).tolist()) for _ in range(8000)]
    with tempfile.TemporaryDirectory() as folder:
        run = made_run(Path(folder) / "run", examples=1000, tokens=200, pieces=pieces)
        written = []
        for _ in range(TIMES):
            started = time.perf_counter()
            path = write_report(run)
            written.append(time.perf_counter() - started)
        figures = {"page.write_seconds": {**_spread(written), "bytes": path.stat().st_size}}
        if CHROMIUM.exists():
            figures["page.ready_seconds"] = _spread(_ready(path))
    return figures


def _ready(path: Path) -> list[float]:
    """Seconds from opening a page to its being ready, in a fresh context each time."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        for _ in range(TIMES):
            context = browser.new_context(viewport={"width": 1280, "height": 860})
            page = context.new_page()
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready]")
            found.append(page.evaluate("performance.getEntriesByName('xtf-ready')[0].startTime") / 1000)
            context.close()
        browser.close()
    return found


def _spread(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(seconds), 2),
        "min": round(min(seconds), 2),
        "max": round(max(seconds), 2),
    }

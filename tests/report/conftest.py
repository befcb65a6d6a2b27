"""A real browser for the report's tests, and runs to open in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.made import made_run
from xtf.api import Run
from xtf.report import write_report

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Open = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("no chromium")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Open a file at a width in a theme; when the test is over, no error and no request may have happened."""
    contexts: list[Any] = []
    problems: list[str] = []

    def note(problem: str | None) -> None:
        problems.extend([] if problem is None else [problem])

    def refuse(dialog: Any) -> None:
        note(f"dialog {dialog.message}")
        dialog.dismiss()

    def start(path: Path, place: str = "", width: int = 1280, theme: str = "light") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 860}, color_scheme=theme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15000)
        page.on("console", lambda message: note(message.text if message.type in ("error", "warning") else None))
        page.on("pageerror", lambda error: note(str(error)))
        page.on("dialog", refuse)
        page.on("request", lambda request: note(None if request.url.startswith(("file:", "data:")) else request.url))
        page.goto(path.as_uri() + place)
        page.wait_for_selector("html[data-ready]")
        return page

    yield start
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A labelled run of 30 examples, and its page."""
    run = made_run(tmp_path_factory.mktemp("small") / "run")
    return run, write_report(run)


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, fetched once into the user's cache."""
    import subprocess
    import tarfile

    npm = shutil.which("npm")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "xtf-tests"
    source = cache / "axe.min.js"
    if not source.exists():
        if npm is None:
            pytest.skip("no npm")
        cache.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            [npm, "pack", "axe-core@4", "--silent"], cwd=cache, capture_output=True, text=True, timeout=120, check=False
        )
        if packed.returncode:
            pytest.skip("axe-core cannot be fetched")
        with tarfile.open(cache / packed.stdout.strip().splitlines()[-1]) as archive:
            member = archive.extractfile("package/axe.min.js")
            assert member is not None
            source.write_bytes(member.read())
    return source.read_text(encoding="utf-8")

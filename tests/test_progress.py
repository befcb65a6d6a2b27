"""What is said of long work: bars where a person watches, lines elsewhere, activities for callers."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import xtf
from xtf.progress import Activity, busy, displays, duration, line_of, notice, progress, tracking


class Terminal(io.StringIO):
    """A standard error that a person watches."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is shown at once: tests wait for what is said, never for a time."""
    for name in ("PATIENCE", "LONG", "QUIET"):
        monkeypatch.setattr(displays, name, 0.0)
    monkeypatch.setattr(displays.Lines, "_last", float("-inf"))
    monkeypatch.setattr(tracking, "_TICK", 0.001)


def watched_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    watched = Terminal()
    monkeypatch.setattr(sys, "stderr", watched)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return watched


def until(said: Callable[[], bool]) -> None:
    """Wait for the thread that shows; a test that waits for ever has failed."""
    stop = threading.Event()
    for _ in range(3000):
        if said():
            return
        stop.wait(0.01)
    raise AssertionError("nothing was shown")


@pytest.mark.parametrize(
    ("activities", "line"),
    [
        (
            [Activity("study", "trainings", 59, 2, 65.0), Activity("Scoring", "tokens", 3000, 1000, 12.0, 100.0)],
            "study: 2 of 59 trainings; Scoring: 1,000 of 3,000 tokens, 100 a second, about 20 s left",
        ),
        (
            [Activity("study", "trainings", 4, 1, 900.0, 1 / 600)],
            "study: 1 of 4 trainings, 10 min each, about 30 min left",
        ),
        ([Activity("Tokenising", "rows", None, 12000, 6.0, 2000.0)], "Tokenising: 12,000 rows, 2,000 a second"),
        ([Activity("Loading m", "", None, 0, 7.0)], "Loading m: 7 s so far"),
        ([Activity("Scoring", "tokens", None, 0, 7.0)], "Scoring: 7 s so far"),
        ([Activity("Labelling", "shards", 1, 0, 2.0)], "Labelling: 0 of 1 shard"),
        ([], ""),
    ],
)
def test_a_line_says_what_how_far_how_fast_and_how_long(activities: list[Activity], line: str) -> None:
    assert line_of(activities) == line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (3570, "1 h 0 min"), (8000, "2 h 13 min"), (200000, "2 d 8 h")],
)
def test_durations_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_off_a_terminal_a_line_appears_even_when_nothing_moves(capsys: pytest.CaptureFixture[str]) -> None:
    said = ""

    def loading() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "Loading" in said

    with busy("Loading\x1b[31m a model"):
        until(loading)
    assert "Loading␛[31m a model: 0 s so far\n" in said


def test_lines_are_not_said_more_often_than_every_so_often(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 100.0
    monkeypatch.setattr(displays, "time", SimpleNamespace(monotonic=lambda: clock))
    monkeypatch.setattr(displays, "QUIET", 15.0)
    monkeypatch.setattr(displays, "LONG", 2.0)
    lines = displays.Lines()
    for clock in (100.0, 101.0, 114.9, 115.0, 116.0):
        lines.show([Activity("Scoring", "tokens", 10, 1, clock - 98.5)])
    assert capsys.readouterr().err == "".join(["Scoring: 1 of 10 tokens\n"] * 2)  # at 101, not yet 15 s later, at 116


def test_a_terminal_shows_bars_without_a_move_and_clears_them(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched_terminal(monkeypatch)
    with busy("Loading a model"), progress("Scoring", 3000, "tokens") as advance:
        until(lambda: "Loading a model" in terminal.getvalue())
        advance(1000)
        until(lambda: "1,000/3,000 tokens" in terminal.getvalue())
    assert terminal.getvalue().rstrip("\r\n").endswith(("\x1b[2K", "\x1b[?25h"))  # erased, and the cursor is back


def test_a_terminal_of_another_encoding_gets_bars_that_it_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched_terminal(monkeypatch)
    terminal.encoding = "latin-1"
    with progress("Scoring", 10, "tokens") as advance:
        advance(5)
        until(lambda: "5/10 tokens" in terminal.getvalue())
    terminal.getvalue().encode("latin-1")


def test_a_notebook_shows_bars_without_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, text: str) -> None:
            shown.append(text)

    def display(text: str, *, display_id: bool) -> Handle:
        shown.append(text)
        return Handle()

    monkeypatch.setattr(displays, "import_module", lambda name: SimpleNamespace(HTML=str, display=display))
    notebook = displays.Notebook()
    notebook.show([Activity("<Scoring>", "tokens", 30, 10, 2.0, 5.0), Activity("Loading", "", None, 0, 3.0)])
    notebook.close()
    assert shown == [
        '&lt;Scoring&gt; <progress max="30" value="10"></progress> 10/30 tokens, 5.0/s, 4 s left<br>'
        "Loading <progress></progress> 3 s",
        "",
    ]


def test_whoever_logs_gets_lines_and_standard_error_stays_empty(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, logger="xtf"):
        notice("a word")
        with busy("Loading"):
            until(lambda: "Loading: 0 s so far" in caplog.messages)
    assert caplog.messages[0] == "a word"
    assert capsys.readouterr().err == ""
    notice("another")
    assert capsys.readouterr().err == "another\n"


def test_callers_watch_activities_outermost_first() -> None:
    seen: list[Sequence[Activity]] = []
    with xtf.watch_progress(seen.append):
        with progress("study", 4, "trainings") as outer:
            outer(1)
            with progress("Scoring", None, "tokens") as inner:
                inner(30, total=90)
        with busy("Writing"):
            pass
    names = [[one.description for one in activities] for activities in seen]
    assert [a for a, b in zip(names, [None, *names], strict=False) if a != b] == [
        *(["study"], ["study", "Scoring"], ["study"], [], ["Writing"], [])
    ]
    assert seen[-1] == []
    with busy("Nobody looks"):
        pass
    assert not any(one.description == "Nobody looks" for activities in seen for one in activities)


def test_a_callback_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def broken(activities: Sequence[Activity]) -> None:
        calls.append(activities)
        raise RuntimeError("no window")

    with xtf.watch_progress(broken), busy("Loading"):
        pass
    assert len(calls) == 1
    assert "no window" in caplog.text


def test_the_rate_leaves_out_what_came_before_the_first_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((60.0, 60.0, 62.0, 62.0, 64.0, 64.0))  # a minute of loading, then ten a second
    monkeypatch.setattr(tracking, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    tracked = tracking._Tracked("Scoring", 100, "tokens", started=0.0)
    found: list[Any] = []
    for n in (10, 20, 20):
        tracked.advance(n)
        activity = tracked.now()
        found.append((activity.rate, activity.left))
    assert found == [(0.0, None), (10.0, 7.0), (10.0, 5.0)]


def test_what_an_earlier_process_did_is_done_but_not_in_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((0.2, 60.0, 60.0, 120.0, 120.0))  # five are there at once, then each takes a minute
    monkeypatch.setattr(tracking, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    tracked = tracking._Tracked("study", 25, "trainings", started=0.0)
    tracked.advance(5, found=True)
    assert line_of([tracked.now()]) == "study: 5 of 25 trainings"
    found = []
    for _ in range(2):
        tracked.advance(1)
        found.append(line_of([tracked.now()]))
    assert found == ["study: 6 of 25 trainings", "study: 7 of 25 trainings, 1 min each, about 18 min left"]


@pytest.mark.parametrize("closing", ["sys.stderr.close()", "sys.stderr = None", "import os; os.close(2)"])
def test_a_standard_error_that_is_gone_stops_nothing(closing: str) -> None:
    program = f"""
import sys, time
from xtf.progress import busy, displays, notice
displays.LONG = displays.QUIET = 0.0
{closing}
with busy("Loading"):
    time.sleep(0.6)
notice("a word")
print("done")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done

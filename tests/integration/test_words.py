"""What people read and type: commands that can be pasted, any encoding, refusals that say what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.conftest import Cli, tiny_config, write_config
from tests.report.made import made_run
from xtf.config import parse_config
from xtf.display import command, counted
from xtf.errors import ConfigError, RunError
from xtf.explain.terminal import print_explanation

IDS = ["$(touch x)", "`touch x`", "[x]", "--json", "é 🙂", "a'b\"c", ":smile:", "=ls", "plain"]
HOSTILE = [*IDS, "line\nbreak", "\x1b[31m", "~", "!!", "* ?", "", "back\\slash"]
MADE = {"model": {"path": "m"}, "data": {"path": "d"}, "attributes": {"knowledge_novelty": {}}}


def in_a_shell(line: str, shell: str = "bash") -> list[str]:
    """The words that a shell makes of a command line."""
    script = f"show() {{ printf '%s\\0' \"$@\"; }}; show {line}"
    done = subprocess.run([shell, "-c", script], capture_output=True, check=True)
    return [word.decode("utf-8", "surrogateescape") for word in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("word", HOSTILE)
def test_a_printed_command_is_read_back_by_a_shell(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_a_shell(command("xtf", "explain", Path("-run"), word)) == ["xtf", "explain", "./-run", word]
    assert list(tmp_path.iterdir()) == [], "nothing was run"


def test_a_printed_command_holds_nothing_that_an_encoding_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Latin:
        encoding = "latin-1"

    monkeypatch.setattr(sys, "stdout", Latin())
    line = command("xtf", "explain", "é 🙂")
    assert line == r"xtf explain $'\xc3\xa9 \xf0\x9f\x99\x82'"
    assert command("\ud800", "\udcff") == r"$'\xed\xa0\x80' $'\xff'"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled run under hostile names."""
    folder = tmp_path_factory.mktemp("words") / "a $(touch x) run"
    made_run(folder, ids=IDS)
    return folder


def test_every_printed_command_fits_a_line_and_can_be_pasted(
    cli: Cli, run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xtf.api import open_run
    from xtf.report.terminal import print_example, print_next_steps

    monkeypatch.chdir(tmp_path)
    console = Console(width=40, emoji=False, highlight=False)
    for name in IDS:
        print_example(console, open_run(run), name)
    print_next_steps(console, open_run(run))
    lines = [line for line in capsys.readouterr().out.splitlines() if "xtf " in line]
    assert len(lines) > 3
    for line in lines:
        words = in_a_shell(line[line.index("xtf ") :])
        assert words[2] == str(run)
        outcome = cli(*words[1:])
        assert outcome.code == 0, (words, outcome.err)
    assert list(tmp_path.iterdir()) == [], "nothing else was run"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "utf-8"])
def test_no_encoding_ends_in_a_traceback(run: Path, encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    for arguments in (["explain", str(run), "--example=é 🙂"], ["explain", str(run), "--example=é 🙂", "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "xtf", *arguments], capture_output=True, env=environment, check=False
        )
        assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
        shown = done.stdout.decode(encoding)
        if "--json" in arguments:
            assert json.loads(shown)["example_id"] == "é 🙂"
        else:
            assert "[[" in shown if encoding != "utf-8" else "⟦" in shown


def test_settings_of_the_command_line_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tmp_path))
    environment = {**os.environ, "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "xtf", "check", str(path), "--set", "output=é 🙂"]
    done = subprocess.run(command, capture_output=True, env=environment, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"output: \xe9 \U0001f642" in done.stdout


def test_a_name_that_the_locale_cannot_spell_is_no_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        str(path).encode("ascii")

    monkeypatch.setattr("xtf.api.open_run", refuse)
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    outcome = cli("summary", "é")
    assert (outcome.code, outcome.err.partition(": this locale ")[0]) == (2, "error: é")
    assert "PYTHONUTF8=1" in outcome.err


def test_counts_agree_with_what_is_counted() -> None:
    assert [counted(n, "row") for n in (0, 1, 2, 1234)] == ["0 rows", "1 row", "2 rows", "1,234 rows"]
    assert counted(2, "entry", "entries") == "2 entries"


def test_reasons_have_marks_without_colour_and_fit_80_columns(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from xtf.api import open_run

    explanation = open_run(run).explain("plain")
    first = [next((i for i, v in enumerate(t.verdicts) if v.lacking), None) for t in explanation.tokens if t.noise]
    print_explanation(Console(width=80, force_terminal=True, no_color=True), explanation, reasons=True)
    out = capsys.readouterr().out
    for place, mark in enumerate("¹²³"):
        assert out.count(f"⟧{mark}") == first.count(place) + 1, "each token and the legend"
    for token in explanation.tokens:
        if token.is_response:
            assert f"{token.index:>4} {token.sentence}\n" in out


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["thresholds.nope.cut=3"], "thresholds.nope: no attribute of that name in this run. In this run: knowledge"),
        (["thresholds.knowledge_noveltie.cut=3"], "Did you mean 'knowledge_novelty'?"),
        (["arms.a.thresholds.nope.kind=never"], "arms.a.thresholds.nope: no attribute of that name in this run."),
        (["training.seeds=null"], "training.seeds: expected a list, such as [a, b], got null"),
        (["training=3"], "training: expected a section of keys and values, got 3"),
    ],
)
def test_a_wrong_setting_is_named_as_people_know_it(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(MADE, "a.yaml", overrides)
    assert words in str(refused.value)
    assert "tuple" not in str(refused.value)
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        ["thresholds.knowledge_novelty.kind=iqr", "thresholds.knowledge_novelty.k=0.5"],
        ["thresholds.knowledge_novelty.k=0.5", "thresholds.knowledge_novelty.kind=iqr"],
        ["thresholds.knowledge_novelty={kind: iqr, k: 0.5}"],
    ],
)
def test_another_kind_of_cut_drops_the_settings_of_the_former(overrides: list[str]) -> None:
    before = {**MADE, "thresholds": {"knowledge_novelty": {"kind": "below", "cut": 0.1, "at_most": 0.2}}}
    cut = parse_config(before, overrides=overrides).thresholds["knowledge_novelty"].model_dump()
    assert (cut["kind"], cut["k"], cut["at_most"]) == ("iqr", 0.5, None)
    same = parse_config(before, overrides=["thresholds.knowledge_novelty.kind=below"])
    assert same.thresholds["knowledge_novelty"].model_dump()["cut"] == 0.1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "RUN"], "one run alone cannot be compared; name two or more. To read one: xtf explain "),
        (["explain", "RUN", "-e", "plane"], "Did you mean 'plain'?"),
        (["report", "RUN", "-e", "plane"], "no example 'plane'"),
        (["explain", "RUN", "-t", "-1"], "--token -1: the example has tokens 0 to "),
        (["summary", "RUNS"], "not a run folder. Did you mean"),
        (["inspect", "RUN", "-n", "-3"], "--examples -3: how many to print"),
    ],
)
def test_refusals_say_what_to_do(cli: Cli, run: Path, arguments: list[str], words: str) -> None:
    named = {"RUN": str(run), "RUNS": f"{run}s"}
    outcome = cli(*(named.get(word, word) for word in arguments))
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert "Traceback" not in outcome.err


def test_a_folder_that_may_not_be_written_is_named(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = run / "state" / ".rules.json.1-2.tmp"

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(beside))

    monkeypatch.setattr("xtf.api.label", refuse)
    outcome = cli("label", run)
    assert outcome.code == 2
    assert outcome.err == (
        f"error: {run / 'state'}: permission denied. Change the permissions of this folder, or name another one.\n"
    )


def test_an_example_that_is_not_scored_yet_is_not_called_unknown(cli: Cli, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", examples=4)
    shutil.rmtree(run.path / "scores")
    for arguments in (["explain", run.path, "-e", "made-0001"], ["explain", run.path], ["compare", run.path, run.path]):
        done = cli(*arguments)
        assert done.code == 2
        assert "is not scored yet. Wait until scoring is done" in done.err.replace("\n", " ")
    with pytest.raises(RunError, match="'made-0001' is not scored yet"):
        run.tokens("made-0001")
    assert "no example 'made-9'" in cli("explain", run.path, "-e", "made-9").err
    shutil.rmtree(run.path / "tokens")
    done = cli("explain", run.path)
    assert done.code == 2
    assert "nothing is scored yet" in done.err

"""Random and mutated rows, configurations and run folders through every command: clear messages, never a traceback."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import xtf
from tests.conftest import chat_row, chat_rows, tiny_config, write_config
from tests.durability.conftest import THOROUGHNESS, small_config
from tests.durability.fuzz_inputs import damage, damages, paths, reading, rows, scalars, sections, texts, values, words
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.cli import main
from xtf.errors import XTFError


def quick(cases: int) -> settings:
    """The same ``cases`` every time, however slow the machine; more and others in ``make fuzz``."""
    return settings(
        max_examples=cases * THOROUGHNESS,
        derandomize=THOROUGHNESS == 1,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def model() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A tiny model and its tokenizer, in memory."""
    torch.set_num_threads(1)
    return tiny_model("llama"), tiny_tokenizer()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all cases of a test."""
    return tmp_path_factory.mktemp("fuzz")


def command(*arguments: object) -> int:
    """The exit code of a command in this process; whatever else it raises is a failure."""
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


@quick(20)
@given(bad=st.lists(rows, max_size=4), at=st.integers(0, 2))
def test_good_rows_are_scored_whatever_stands_between_them(
    model: tuple[PreTrainedModel, PreTrainedTokenizerBase], place: Path, bad: list[Any], at: int
) -> None:
    config = tiny_config(place, place, attributes={"knowledge_novelty": {}}, scoring={"allow_degenerate": True})
    good = [chat_row(f"good-{i}", f"{i} plus {i}?", f"It is {i + i}.") for i in range(2)]
    data = [*good[:at], *bad, *good[at:]]
    shutil.rmtree(place / "run", ignore_errors=True)
    run = xtf.score(config, model=model[0], tokenizer=model[1], data=data)
    report = run.manifest["data_report"]
    assert {"good-0", "good-1"} <= set(run.example_ids())
    skipped = sum(count["count"] for count in report["skipped"].values())
    assert report["rows"] == len(data) == report["examples"] + report["dropped_too_long"] + skipped


@quick(60)
@given(lines=st.lists(rows.map(lambda row: json.dumps(row).encode()) | st.binary(max_size=40), max_size=5))
def test_any_file_can_be_inspected(
    model: tuple[PreTrainedModel, PreTrainedTokenizerBase],
    place: Path,
    tiny_folder: Path,
    lines: list[bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xtf.model.load_tokenizer", lambda _: model[1])
    config = write_config(place / "inspect.yaml", tiny_config(place, tiny_folder))
    good = json.dumps(chat_row("good", "1+1?", "2")).encode()
    (place / "data.jsonl").write_bytes(b"\n".join([*lines, good]) + b"\n")
    code = command("inspect", config, "--json")
    printed = capsys.readouterr()
    assert code in (0, 2), printed.err
    first = next((line for line in b"\n".join(lines).split(b"\n") if line.strip(b" \t\r\n\xef\xbb\xbf")), b"")
    if not first.lstrip(b"\xef\xbb\xbf").lstrip().startswith(b"["):  # which begins a file of JSON, not of lines
        assert code == 0, printed.err
    assert "Traceback" not in printed.err


@quick(75)
@given(changes=st.lists(st.tuples(paths, words | scalars | values | sections), min_size=1, max_size=4))
def test_any_configuration_is_checked(
    place: Path, tiny_folder: Path, changes: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config(place, tiny_folder)
    for path, value in changes:
        level: dict[str, Any] = config
        *sections_, last = path.split(".")
        for key in sections_:
            inner = level.get(key)
            level[key] = dict(inner) if isinstance(inner, dict) else {}
            level = level[key]
        level[last] = value
    code = command("check", write_config(place / "check.yaml", config))
    printed = capsys.readouterr()
    assert code in (0, 2), printed.err
    assert "Traceback" not in printed.err
    assert (code == 0) == (printed.err == "")


@quick(75)
@given(
    override=st.text(string.printable, max_size=40) | st.tuples(paths, texts).map("=".join), raw=st.binary(max_size=60)
)
def test_any_override_and_any_yaml(
    place: Path, tiny_folder: Path, override: str, raw: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(place / "check.yaml", small_config(place, tiny_folder))
    override = override.encode("utf-8", "replace").decode().replace("\x00", "")
    assert command("check", config, f"--set={override}") in (0, 2)
    (place / "raw.yaml").write_bytes(raw)
    assert command("check", place / "raw.yaml") == 2
    assert "Traceback" not in capsys.readouterr().err


@quick(20)
@given(data=texts, model_name=texts, attribute=texts)
def test_any_name_is_written_or_refused(
    place: Path, data: str, model_name: str, attribute: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "init.yaml"
    path.unlink(missing_ok=True)
    if command("init", path, f"--data={data}", f"--model={model_name}") == 0:
        written = xtf.load_config(path)
        assert (written.data.path, written.model.path) == (data, model_name)
    assert command("attributes", "--", attribute) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, model: tuple[PreTrainedModel, PreTrainedTokenizerBase]) -> Path:
    """A labelled run with two shards."""
    folder = tmp_path_factory.mktemp("labelled")
    config = tiny_config(
        folder, folder, attributes={"knowledge_novelty": {}, "random": {}}, scoring={"examples_per_shard": 3}
    )
    xtf.label(xtf.score(config, model=model[0], tokenizer=model[1], data=chat_rows(6)))
    return folder / "run"


@quick(35)
@given(doing=reading, damaged=st.lists(damages, min_size=1, max_size=2))
def test_any_damaged_run_is_read_or_named(
    labelled: Path, place: Path, doing: tuple[str, ...], damaged: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(place / "copy", ignore_errors=True)
    shutil.copytree(labelled, place / "copy")
    for one in damaged:
        damage(place / "copy", *one)
    others = [labelled] if doing[0] == "compare" else []
    code = command(doing[0], place / "copy", *others, *doing[1:])
    printed = capsys.readouterr()
    assert code in (0, 2), printed.err
    assert "Traceback" not in printed.err
    assert code == 0 or printed.err.startswith(("error: ", "Usage")) or "error:" in printed.err


@quick(12)
@given(damaged=st.lists(damages, min_size=1, max_size=2))
def test_any_damaged_run_is_scored_again_or_refused(
    labelled: Path, place: Path, model: tuple[PreTrainedModel, PreTrainedTokenizerBase], damaged: list[Any]
) -> None:
    shutil.rmtree(place / "run", ignore_errors=True)
    shutil.copytree(labelled, place / "run")
    config = tiny_config(
        place, labelled.parent, attributes={"knowledge_novelty": {}, "random": {}}, scoring={"examples_per_shard": 3}
    )
    config["data"] = {"path": str(labelled.parent / "data.jsonl")}
    for one in damaged:
        damage(place / "run", *one)
    try:
        run = xtf.label(xtf.score(config, model=model[0], tokenizer=model[1], data=chat_rows(6)))
    except (XTFError, IsADirectoryError):
        return
    assert list(run.example_ids()) == [f"sum-{i}" for i in range(1, 7)]
    assert run.summary().examples == 6


@quick(4)
@given(damaged=st.lists(damages, max_size=1))
def test_any_damaged_run_is_trained_or_refused(
    labelled: Path, place: Path, model: tuple[PreTrainedModel, PreTrainedTokenizerBase], damaged: list[Any]
) -> None:
    shutil.rmtree(place / "trained", ignore_errors=True)
    shutil.copytree(labelled, place / "trained")
    for one in damaged:
        damage(place / "trained", *one)
    settings_ = [
        "training.arms=[xtf]",
        "training.max_steps=1",
        "training.warmup_ratio=0",
        "training.batch_size=2",
        "training.lora.r=2",
    ]
    try:
        metrics = xtf.train(place / "trained", settings_, model=model[0], tokenizer=model[1])
    except XTFError:
        assert damaged
        return
    assert metrics["arms"][0]["steps"] == 1

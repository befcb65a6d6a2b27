"""Bad input that a person meets: enormous answers, ids given twice, another tokenizer, folders without rights."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import Cli, chat_row, chat_rows, tiny_config, write_config, write_jsonl


def test_an_answer_of_200_000_characters_is_cut_and_counted(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    rows = [*chat_rows(3), chat_row("long", "Say it often.", "She buys 3 apples. " * 10_527)]
    assert len(rows[-1]["messages"][1]["content"]) > 200_000
    config = tiny_config(tmp_path, tiny_folder, rows, attributes={"knowledge_novelty": {}})
    outcome = cli("run", write_config(tmp_path / "a.yaml", config), "--set", "data.max_length=256")
    assert outcome.code == 0, outcome.err
    assert "1 cut to the greatest length" in outcome.out
    counts = json.loads((tmp_path / "run/manifest.json").read_text())["counts"]
    assert counts["examples"] == 4


def test_ids_given_twice_keep_the_first(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    rows = [chat_row("one", "1+1?", "2"), chat_row("two", "1+2?", "3"), chat_row("one", "again?", "no")]
    config = tiny_config(tmp_path, tiny_folder, rows, attributes={"random": {}}, scoring={"examples_per_shard": 1})
    outcome = cli("score", write_config(tmp_path / "a.yaml", config))
    assert outcome.code == 0, outcome.err
    assert "duplicate id: 'one'; the first row of that id is kept" in outcome.out
    assert "data.jsonl:3" in outcome.out


def test_another_models_tokenizer_is_refused(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(tiny_folder, folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    for extra in range(20):
        tokenizer["added_tokens"].append(
            {"id": 300 + extra, "content": f"<|extra{extra}|>", "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": True}
        )  # fmt: skip
    path.write_text(json.dumps(tokenizer))
    outcome = cli("score", write_config(tmp_path / "a.yaml", tiny_config(tmp_path, folder)))
    assert outcome.code == 2
    assert "tokenizer" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("command", ["score", "label", "summary", "explain", "report", "train"])
def test_a_file_where_a_folder_should_be(cli: Cli, tmp_path: Path, tiny_folder: Path, command: str) -> None:
    config = {**tiny_config(tmp_path, tiny_folder), "output": str(tmp_path / "file")}
    (tmp_path / "file").write_text("not a folder")
    target = write_config(tmp_path / "a.yaml", config) if command == "score" else tmp_path / "file"
    outcome = cli(command, target)
    assert outcome.code == 2
    assert str(tmp_path / "file") in outcome.err
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_folder_that_may_not_be_written(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    if os.geteuid() == 0:
        target = Path("/proc/xtf-run")  # where root may not write either
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        target = tmp_path / "locked/run"
    outcome = cli(
        "score", write_config(tmp_path / "a.yaml", {**tiny_config(tmp_path, tiny_folder), "output": str(target)})
    )
    assert outcome.code == 2
    assert str(target) in outcome.err


def test_reading_a_file_that_vanished(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tiny_folder))
    write_jsonl(tmp_path / "data.jsonl", []).unlink()
    outcome = cli("score", path)
    assert (outcome.code, "no such file or folder" in outcome.err) == (2, True)

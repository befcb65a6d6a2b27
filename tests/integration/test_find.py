"""Data and a model to a ranked list: from Python, from the command line, with objects, again from the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import xtf
from tests.conftest import Cli, chat_rows, write_jsonl
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.errors import ConfigError, RunError

RANDOM = ["attributes={random: {}}", "thresholds.random={kind: bottom_share, share: 0.3, scope: dataset}"]
DICE: dict[str, Any] = {"attributes": {"random": {}}}
SET = [part for override in RANDOM for part in ("--set", override)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "xtf" / "find"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{**row, "more": {"kept": place}} for place, row in enumerate(chat_rows(10))]
    return write_jsonl(tmp_path / "data.jsonl", rows)


def test_by_default_wrong_and_useless_are_told_apart(data: Path, tiny_folder: Path) -> None:
    found = xtf.find(data, tiny_folder, overrides=["attributes.label_quality={examples: 8, networks: 1}"])
    assert list(found.run.config.attributes) == ["label_quality", "knowledge_novelty"]
    assert found.run.probabilities == ["label_quality"]
    assert len(found) == 10


def test_asked_again_it_answers_from_the_cache(data: Path, tiny_folder: Path, cache: Path) -> None:
    first = xtf.find(data, tiny_folder, overrides=RANDOM)
    scores = next((first.run.path / "scores").glob("*.parquet"))
    before = scores.stat().st_mtime_ns
    again = xtf.find(str(data), str(tiny_folder), overrides=RANDOM)
    assert (again.run.path, scores.stat().st_mtime_ns) == (first.run.path, before)
    assert first.run.path.parent == cache
    data.write_text(data.read_text().replace("What is 3", "Say what is 3"))
    assert xtf.find(data, tiny_folder, overrides=RANDOM).run.path != first.run.path
    assert len(list(cache.iterdir())) == 2


def test_an_output_of_ones_own(data: Path, tiny_folder: Path, tmp_path: Path, cache: Path) -> None:
    found = xtf.find(data, tiny_folder, overrides=[*RANDOM, f"output={tmp_path / 'mine'}"])
    assert found.run.path == tmp_path / "mine"
    assert not cache.exists()


def test_objects_need_no_paths(tmp_path: Path, data: Path, tiny_folder: Path) -> None:
    model, tokenizer, rows = tiny_model(), tiny_tokenizer(), chat_rows(10)
    found = xtf.find(iter(rows), model, tokenizer=tokenizer, overrides=RANDOM)
    assert found.write(tmp_path / "kept.jsonl") == 10
    assert [json.loads(line) for line in (tmp_path / "kept.jsonl").read_text().splitlines()] == rows
    scored = xtf.score({"output": str(tmp_path / "run"), **DICE}, model=model, tokenizer=tokenizer, data=rows)
    assert scored.is_scored
    assert xtf.inspect(DICE, tokenizer=tokenizer, data=rows).report.examples == 10


def test_the_command_prints_what_the_object_shows(cli: Cli, data: Path, tiny_folder: Path) -> None:
    done = cli("find", data, "--model", tiny_folder, "-n", "2", *SET)
    assert (done.code, done.err) == (0, "")
    found = xtf.find(data, tiny_folder, overrides=RANDOM)
    assert found.headline() in done.out
    assert f"  1. {found[0].example_id} " in done.out
    assert "8 more examples" in done.out
    assert f"xtf explain {found.run.path} --example={found[0].example_id}" in done.out
    as_json = json.loads(cli("find", data, "--model", tiny_folder, "--json", "--by", "useless", *SET).out)
    assert [one["example_id"] for one in as_json["examples"]] == [o.example_id for o in found.worst(10, "useless")]


def test_rows_are_written_as_they_stand(cli: Cli, data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    found = xtf.find(data, tiny_folder, overrides=RANDOM)
    limit = sorted(one.share_useless for one in found)[4]
    output = tmp_path / "kept.jsonl"
    done = cli("find", data, "--model", tiny_folder, "-o", output, "--max-useless", str(limit), *SET)
    assert done.code == 0, done.err
    kept = found.kept(max_useless=limit)
    rows: list[dict[str, Any]] = [json.loads(line) for line in data.read_text().splitlines()]
    assert [json.loads(line) for line in output.read_text().splitlines()] == [r for r in rows if r["id"] in kept]
    assert f"{len(kept)} rows; {10 - len(kept)} dropped" in done.out
    assert cli("find", data, "--model", tiny_folder, "--max-wrong", "0.1", *SET).code == 2
    assert cli("find", data, "--model", tiny_folder, "-o", output, "--max-wrong", "2", *SET).code == 2
    assert cli("find", data, "--model", tiny_folder, "-o", data, *SET).code == 2
    with pytest.raises(ConfigError, match=r"end the name in \.jsonl"):
        found.write(tmp_path / "kept.csv")
    data.write_text(data.read_text() + data.read_text().splitlines()[0].replace("sum-1", "sum-99") + "\n")
    with pytest.raises(RunError, match="has changed since"):
        found.write(output)


def test_mistakes_are_said(cli: Cli, tmp_path: Path, data: Path, tiny_folder: Path) -> None:
    assert "nowhere.jsonl" in cli("find", tmp_path / "nowhere.jsonl", "--model", tiny_folder).err
    assert "no such order" in cli("find", data, "--model", tiny_folder, "--by", "loudest", *SET).err
    with pytest.raises(ConfigError, match="needs its tokenizer"):
        xtf.find(data, tiny_model(), overrides=RANDOM)

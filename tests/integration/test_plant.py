"""Planting a file: what is changed, what stays, and that the truth says exactly which tokens are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import xtf
from tests.conftest import Cli, chat_rows, write_jsonl
from tests.tiny import tiny_tokenizer
from xtf.errors import ConfigError, PluginError

ROWS: list[dict[str, Any]] = [
    {"id": f"c{i}", "messages": row["messages"], "topic": {"a": [1, "x"]}} for i, row in enumerate(chat_rows(20), 1)
]
PAIRS = [{"question": f"What is {i}?", "answer": f"Well, it is {i} and then {i * 7} more.", "n": i} for i in range(20)]
ECHO = [{"messages": [{"role": "user", "content": "It is 12."}, {"role": "assistant", "content": "It is 12."}]}] * 4
TURNS = [
    {
        "conversations": [
            {"from": "human", "value": "Say 17."},
            {"from": "gpt", "value": "The first number is 17, my friend."},
            {"from": "human", "value": "Again?"},
            {"from": "gpt", "value": "Then it was 23, and not 17."},
        ]
    }
] * 6


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("rows", [ROWS, PAIRS, ECHO, TURNS], ids=["chat", "pairs", "echo", "turns"])
def test_only_responses_change_and_the_truth_says_where(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    source = write_jsonl(tmp_path / "data.jsonl", rows)
    planted = xtf.plant(source, tmp_path / "noisy.jsonl", rate=0.2)
    noisy, truth = lines(tmp_path / "noisy.jsonl"), lines(tmp_path / "noisy.truth.jsonl")
    assert len(noisy) == len(truth) == len(rows)
    assert planted.noisy > len(rows) // 3
    for before, after, true in zip(rows, noisy, truth, strict=True):
        turns = true.get("turns", [true])
        for turn in turns:
            assert turn["response"] in _strings(after)
            kept, at = "", 0
            for start, end, _ in turn["bad"]:
                kept += turn["response"][at:start]
                at = end
            assert (kept + turn["response"][at:] == turn["response"]) or turn["bad"]
        changed = [(old, new) for old, new in zip(_strings(before), _strings(after), strict=True) if old != new]
        assert len(changed) == sum(bool(turn["bad"]) for turn in turns)
        assert {new for _, new in changed} <= {turn["response"] for turn in turns}
        if "messages" in before:
            assert before["messages"][0] == after["messages"][0], "the prompt stays"


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _strings(inner)]
    return [text for inner in value for text in _strings(inner)] if isinstance(value, list) else []


def test_ids_that_files_share_are_told_apart_in_the_planted_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        write_jsonl(tmp_path / "data" / f"{name}.jsonl", ROWS[:3])
    xtf.plant(tmp_path / "data", tmp_path / "noisy.jsonl")
    names = [row["id"] for row in lines(tmp_path / "noisy.jsonl")]
    assert names == ["c1", "c2", "c3", "b.jsonl:c1", "b.jsonl:c2", "b.jsonl:c3"]
    assert [row["id"] for row in lines(tmp_path / "noisy.truth.jsonl")] == names


def test_the_same_seed_plants_the_same_whatever_the_order(tmp_path: Path) -> None:
    xtf.plant(write_jsonl(tmp_path / "a.jsonl", ROWS), tmp_path / "na.jsonl", share=0.6)
    xtf.plant(write_jsonl(tmp_path / "b.jsonl", ROWS[::-1]), tmp_path / "nb.jsonl", share=0.6)
    xtf.plant(tmp_path / "a.jsonl", tmp_path / "nc.jsonl", share=0.6, seed=1)
    first = lines(tmp_path / "na.jsonl")
    assert first == lines(tmp_path / "nb.jsonl")[::-1]
    assert first != lines(tmp_path / "nc.jsonl")
    assert any(row == before for row, before in zip(first, ROWS, strict=True)), "a share of the rows stays clean"


def test_with_a_model_each_token_has_its_kind(tmp_path: Path, tiny_folder: Path) -> None:
    source = write_jsonl(tmp_path / "data.jsonl", ROWS)
    kinds = ["plausible", "uniform", "digits"]
    planted = xtf.plant(source, tmp_path / "noisy.jsonl", kinds=kinds, rate=0.2, model=str(tiny_folder))
    assert set(planted.spans) == set(kinds)
    assert 0.08 < planted.wrong_share < 0.45
    tokenizer = tiny_tokenizer()
    for true in lines(tmp_path / "noisy.truth.jsonl"):
        ids = tokenizer(true["response"], add_special_tokens=False, return_offsets_mapping=True)
        for (start, end), kind in zip(ids["offset_mapping"], true["tokens"], strict=False):
            inside = [k for s, e, k in true["bad"] if start < max(e, s + 1) and s < end]
            assert bool(inside) == (kind is not None)


def test_what_cannot_be_planted_is_refused(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "data.jsonl", PAIRS)
    with pytest.raises(PluginError, match=r"no noise kind 'speling'\. Did you mean 'spelling'"):
        xtf.plant(source, tmp_path / "n.jsonl", kinds=["speling"])
    with pytest.raises(ConfigError, match="needs the tokens of a model"):
        xtf.plant(source, tmp_path / "n.jsonl", kinds=["uniform"])
    with pytest.raises(ConfigError, match=r"--rate 0\.0"):
        xtf.plant(source, tmp_path / "n.jsonl", rate=0.0)
    with pytest.raises(ConfigError, match=r"end the name in \.jsonl"):
        xtf.plant(source, tmp_path / "n.parquet")


def test_the_data_is_never_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    source = write_jsonl(folder / "rows.jsonl", PAIRS)
    before = source.read_bytes()
    (tmp_path / "same.jsonl").hardlink_to(source)
    with pytest.raises(ConfigError, match="is the data itself"):
        xtf.plant(source, source)
    with pytest.raises(ConfigError, match="is the data itself"):
        xtf.plant(source, tmp_path / "same.jsonl")
    with pytest.raises(ConfigError, match=r"rows\.jsonl: is the data itself"):
        xtf.plant(folder, source)
    with pytest.raises(ConfigError, match=r"lies where .*data is read, and may be read too"):
        xtf.plant(folder, folder / "deeper" / "noisy.jsonl")
    with pytest.raises(ConfigError, match=r"lies where .*\*\.jsonl is read, and may be read too"):
        xtf.plant(f"{folder}/*.jsonl", folder / "noisy.jsonl")
    truths = source.rename(folder / "noisy.truth.jsonl")
    with pytest.raises(ConfigError, match=r"noisy\.truth\.jsonl: is the data itself"):
        xtf.plant(truths, folder / "noisy.jsonl")
    assert truths.read_bytes() == before
    assert [file.name for file in folder.iterdir()] == ["noisy.truth.jsonl"]
    xtf.plant(truths, folder / "other.jsonl")


def test_the_command(cli: Cli, tmp_path: Path) -> None:
    rows = [{"ask": "Q?", "say": f"It is {i} of {i + 1} and it was 'so'."} for i in range(9)]
    source = write_jsonl(tmp_path / "my data.jsonl", rows)
    output = tmp_path / "noisy $(touch x).jsonl"
    arguments = ["--output", output, "--kinds", "digits, spelling", "--rate", "0.3"]
    done = cli("plant", source, *arguments, "--column", "prompt=ask", "--column", "response=say")
    assert done.code == 0, done.err
    assert "a changed digit or operator" in done.out
    assert f"--truth '{tmp_path}/noisy $(touch x).truth.jsonl'" in done.out.replace("\n", "")
    assert cli("plant", source, "--output", output, "--kinds", "").code == 2

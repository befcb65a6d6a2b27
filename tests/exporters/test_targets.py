"""What the targets write: OpenAI's weights by turn, the hub's data card, rows left out, ids kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import xtf
from tests.conftest import Cli, chat_row, chat_rows, tiny_config
from tests.exporters.made import label_rows, random_run
from xtf.data import Conversation, MaskedSpan, MaskedTurn
from xtf.display import counted
from xtf.errors import ConfigError, PluginError, RunError
from xtf.exporters import TextExample
from xtf.exporters.openai import OpenaiExporter
from xtf.runs.versions import source_commit

RANDOM = {"attributes": {"random": {}}, "thresholds": {"random": {"kind": "bottom_share", "share": 0.4}}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Any:
    rows = [*chat_rows(8), chat_row("two\nlines", "Hm?", "Yes, 4.")]
    return random_run(tmp_path_factory.mktemp("targets"), tiny_folder, rows)


def lines(folder: Path) -> list[dict[str, Any]]:
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("part-*.jsonl"))]
    return [json.loads(line) for text in texts for line in text.split("\n") if line]


# -- rows left out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["labels", "trl", "hub", "segments", "spans", "openai"])
def test_rows_worse_than_a_share_are_left_out_and_named(run: Any, tmp_path: Path, target: str) -> None:
    """The share is noise among the tokens that have a label or are noise: by hand, from labels/."""
    share = {
        row["example_id"]: sum(row["noise"])
        / sum(noise or label != -100 for noise, label in zip(row["noise"], row["labels"], strict=True))
        for row in label_rows(run.path / "labels")
    }
    limit = float(np.median(list(share.values())))  # of one row the very share: it stays
    exported = xtf.export(run, target, tmp_path / "out", drop_worse_than=limit)
    worse = [name for name in share if share[name] > limit]
    assert 0 < len(worse) < len(share)
    assert list(exported.left_out) == worse
    assert exported.export.rows == len(share) - len(worse)
    kept = [name for name in share if name not in worse]
    if target == "openai":
        assert len(lines(tmp_path / "out")) == len(kept)
        assert (tmp_path / "out" / "ids.txt").read_text().splitlines() == [name.replace("\n", "↵") for name in kept]
    else:
        rows = lines(tmp_path / "out") or label_rows(tmp_path / "out")
        assert [row.get("example_id", row.get("id")) for row in rows] == kept
    named = (tmp_path / "out" / "left-out.txt").read_text().splitlines()
    assert named == [name.replace("\n", "↵") for name in worse]


def test_leaving_out_is_said_with_a_count(run: Any, tmp_path: Path, cli: Cli) -> None:
    outcome = cli("export", run.path, "--to", "labels", "--drop-worse-than", "0.4", "--output", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    left = len((tmp_path / "out" / "left-out.txt").read_text().splitlines())
    assert f"left out: {left} of 9 rows, of which more than 0.4 of the response tokens is masked" in outcome.err
    assert f"{9 - left} rows in" in outcome.out


def test_shares_that_make_no_sense_are_refused(run: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--drop-worse-than 1.5: must lie between 0 and 1"):
        xtf.export(run, "labels", tmp_path / "a", drop_worse_than=1.5)
    with pytest.raises(RunError, match=r"no row is left to write. Of all 9, more than 0 is masked"):
        xtf.export(run, "labels", tmp_path / "b", drop_worse_than=0.0)


def test_weights_that_a_form_cannot_carry_are_counted(tiny_folder: Path, tmp_path: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder, chat_rows(3), **RANDOM)
    config["data"]["prompt_weight"] = 0.25
    run = xtf.label(xtf.score(config), ["combine.noise_weight=0.5"])
    rows = label_rows(run.path / "labels")
    odd = sum(weight not in (0, 1) for row in rows for weight in row["weights"])
    assert odd > 0
    assert not xtf.export(run, "labels", tmp_path / "labels").lost
    lost = xtf.export(run, "trl", tmp_path / "trl").lost
    assert [count for said, count in lost.items() if "weight other than 0 and 1" in said] == [odd]
    learnt = f"LEARNT = {sum(label != -100 for row in rows for label in row['labels'])} "
    assert learnt in (tmp_path / "trl" / "train.py").read_text()


# -- OpenAI ------------------------------------------------------------------------------------------------------


def turn(message: int, *masked: tuple[int, int], rest: bool, tokens: tuple[int, int]) -> MaskedTurn:
    return MaskedTurn(message, tuple(MaskedSpan("content", *span) for span in masked), rest, *tokens)


def test_a_turn_of_which_no_word_is_learnt_weighs_nothing() -> None:
    said = [("user", "a"), ("assistant", "wrong"), ("user", "b"), ("assistant", "good"), ("user", "c")]
    messages = tuple({"role": role, "content": text} for role, text in [*said, ("assistant", "left out")])
    turns = (turn(1, (0, 5), rest=True, tokens=(2, 0)), turn(3, (0, 1), rest=True, tokens=(3, 2)))
    example = TextExample("x", Conversation(messages), turns, [("random",)], 30)
    row = OpenaiExporter().row(example)
    assert row is not None
    assert [message.get("weight") for message in row["messages"]] == [None, 0, None, 1, None, 0]
    counts = sorted(count for count in OpenaiExporter().lost(example).values() if count)
    assert counts == [1, 1]  # one masked token in a turn that is learnt, one turn whose end is learnt
    nothing = TextExample("y", Conversation(messages), turns[:1], [("random",)], 30)
    assert OpenaiExporter().row(nothing) is None


def test_calls_are_written_as_openai_has_them() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": "ñ"}}}
    messages = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [call]})
    example = TextExample("x", Conversation(messages, tools=[call]), (turn(1, rest=True, tokens=(0, 0)),), [], 9)
    row = OpenaiExporter().row(example)
    assert row is not None
    assert row["messages"][1]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": "ñ"}'}
    assert row["messages"][1]["weight"] == 1
    assert row["tools"] == [call]


def test_openai_counts_what_is_finer_than_a_turn(run: Any, tmp_path: Path) -> None:
    exported = xtf.export(run, "openai", tmp_path / "out")
    masked = sum(sum(row["noise"]) for row in label_rows(run.path / "labels"))
    assert [count for said, count in exported.lost.items() if "a weight speaks of a whole turn" in said] == [masked]
    assert all(set(row) == {"messages"} for row in lines(tmp_path / "out"))
    response = sum(sum(row["noise"]) + sum(row["assistant_masks"]) for row in label_rows(run.path / "labels"))
    kept = f"{response - masked} of {response} response tokens"
    assert exported.learnt == f"whole turns, though the labels keep {kept}"
    assert xtf.export(run, "labels", tmp_path / "labels").learnt == kept


# -- the hub -----------------------------------------------------------------------------------------------------


def test_the_folder_for_the_hub_loads_as_a_data_set(run: Any, tmp_path: Path) -> None:
    from datasets import load_dataset

    xtf.export(run, "hub", tmp_path / "out", drop_worse_than=0.5)
    data = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    ids = [row["example_id"] for row in label_rows(tmp_path / "out")]
    assert data["example_id"][:] == ids
    assert {"input_ids", "labels", "weights", "reasons"} <= set(data.column_names)


def test_the_card_says_how_the_labels_were_made(run: Any, tmp_path: Path) -> None:
    xtf.export(run, "hub", tmp_path / "out", drop_worse_than=0.5)
    _, head, card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(head)["configs"][0]["data_files"] == [{"split": "train", "path": "part-*.parquet"}]
    rows = label_rows(tmp_path / "out")
    noise = sum(sum(row["noise"]) for row in rows)
    response = noise + sum(label != -100 for row in rows for label in row["labels"])
    assert f"{response:,} response tokens; masked as noise: {noise:,} ({noise / response:.1%})" in card
    assert f"Left out, as more than 0.5 of it is masked: {counted(9 - len(rows), 'row')}." in card
    masked = sum(reasons & 1 for row in rows for reasons in row["reasons"])
    assert f"| `random` | {masked:,} response tokens ({masked / response:.1%}) |" in card
    assert masked > 0
    assert f"Made by XTF {run.manifest['versions']['xtf-tokens']}, torch {run.manifest['versions']['torch']}" in card
    assert (f"; written by XTF at commit {source_commit()}." in card) == bool(source_commit())
    settings = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    assert settings["thresholds"]["random"]["share"] == 0.3
    assert settings["attributes"] == {"random": {}}
    assert str(tmp_path.parent) not in card  # places of this machine are nobody's business
    assert settings["data"]["path"] == "data.jsonl"


class LocalHub:
    """Stands in for the hub: a folder."""

    root: Path
    private: dict[str, bool]

    def create_repo(self, repository: str, *, repo_type: str, private: bool, exist_ok: bool) -> str:
        assert (repo_type, exist_ok) == ("dataset", True)
        self.private[repository] = private
        return f"hub/{repository}"

    def upload_folder(self, *, repo_id: str, repo_type: str, folder_path: Path, commit_message: str) -> None:
        assert repo_type == "dataset"
        shutil.copytree(folder_path, self.root / repo_id)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[LocalHub]:
    LocalHub.root, LocalHub.private = tmp_path / "hub", {}
    monkeypatch.setattr("huggingface_hub.HfApi", LocalHub)
    return LocalHub


def test_only_a_request_pushes_and_privately(run: Any, tmp_path: Path, hub: type[LocalHub], cli: Cli) -> None:
    xtf.export(run, "hub", tmp_path / "kept")
    assert not hub.private
    outcome = cli("export", run.path, "--to", "hub", "--push", "me/data", "--output", tmp_path / "pushed")
    assert outcome.code == 0, outcome.err
    assert "pushed: https://huggingface.co/datasets/me/data" in outcome.out
    assert hub.private == {"me/data": True}
    assert label_rows(hub.root / "me" / "data") == label_rows(tmp_path / "kept")
    assert (hub.root / "me" / "data" / "README.md").is_file()


def test_what_cannot_be_pushed_is_refused_before_anything_is_written(
    run: Any, tmp_path: Path, hub: type[LocalHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="--to labels writes no data card"):
        xtf.export(run, "labels", tmp_path / "out", push="me/data")
    with pytest.raises(ConfigError, match="expected OWNER/NAME"):
        xtf.export(run, "hub", tmp_path / "out", push="data; rm")
    with pytest.raises(PluginError, match="no exporter"):
        xtf.export(run, "hubb", tmp_path / "out")
    assert not (tmp_path / "out").exists()

    def offline(self: LocalHub, *arguments: Any, **options: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr(LocalHub, "create_repo", offline)
    with pytest.raises(RunError, match=r"me/data: not pushed: no network. The files are complete in .*hf upload"):
        xtf.export(run, "hub", tmp_path / "out", push="me/data")
    assert (tmp_path / "out" / "README.md").is_file()

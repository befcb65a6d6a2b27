"""The commands as a user types them: what they print, their exit codes, and no traceback for a mistake."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import xtf
from tests.conftest import Cli, chat_row, chat_rows, tiny_config, write_config, write_jsonl
from xtf.attribute import registry

COMMANDS = (
    "find",
    "run",
    "score",
    "estimate",
    "label",
    "train",
    "evaluate",
    "explain",
    "summary",
    "inspect",
    "attributes",
    "check",
    "init",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(cli: Cli, command: str) -> None:
    outcome = cli(command, "--help")
    assert outcome.code == 0
    assert "Example: " in outcome.out
    assert f"xtf {command}" in outcome.out


def test_the_version_is_that_of_the_installed_package(cli: Cli) -> None:
    outcome = cli("--version")
    number = metadata.version("xtf-tokens")
    assert outcome.code == 0
    assert outcome.out.startswith(f"xtf {number} (python {platform.python_version()}, torch ")
    assert xtf.__version__ == number


def test_a_whole_run(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tiny_folder))
    outcome = cli("run", path)
    assert (outcome.code, outcome.err) == (0, "")
    for words in ("12 rows read, 12 used", "response tokens masked", "knowledge_novelty", "xtf explain"):
        assert words in outcome.out
    explained = cli("explain", tmp_path / "run", "--example", "sum-2", "--reasons")
    assert "sum-2" in explained.out
    assert "⟦" in explained.out, "noise is marked without colour too"
    as_json = json.loads(cli("explain", tmp_path / "run", "--example", "sum-2", "--json").out)
    assert as_json["example_id"] == "sum-2"
    assert json.loads(cli("summary", tmp_path / "run", "--json").out)["examples"] == 12
    assert "Overlaps" in cli("summary", tmp_path / "run").out
    one = cli("explain", tmp_path / "run", "--example", "sum-2", "--token", str(len(as_json["tokens"]) - 1))
    assert "protected" in one.out or "prompt" in one.out
    label = cli("label", tmp_path / "run", "--set", "thresholds.knowledge_novelty.cut=0.999")
    assert label.code == 0
    assert "cut 0.999" in label.out


def test_a_run_without_training_explains_how_to_train(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tiny_folder))
    cli("run", path)
    outcome = cli("train", tmp_path / "run")
    assert outcome.code == 2
    assert "no training section" in outcome.err
    assert "no metrics yet" in cli("evaluate", tmp_path / "run").err


def test_all_mistakes_of_a_config_at_once(cli: Cli, tmp_path: Path) -> None:
    config = {
        "model": {"path": "x", "dtyp": "auto"},
        "data": {"path": "y"},
        "attributes": {"task_relevence": {}, "knowledge_novelty": {"variant": "papr", "colour": 1}},
        "thresholds": {"knowledge_novelty": {"kind": "belw", "cut": 1}},
        "combine": {"rule": "some"},
        "sed": 1,
    }
    outcome = cli("check", write_config(tmp_path / "bad.yaml", config))
    assert outcome.code == 2
    for words in (
        "model.dtyp: unknown key 'dtyp'. Did you mean 'dtype'?",
        "attributes.task_relevence: no attribute of that name. Did you mean 'task_relevance'?",
        "attributes.knowledge_novelty.variant: cannot be 'papr'. Did you mean 'paper'?",
        "attributes.knowledge_novelty.colour: unknown key 'colour'.",
        "thresholds.knowledge_novelty.kind: no cut named 'belw'. Did you mean 'below'?",
        "combine.rule: cannot be 'some'.",
        "sed: unknown key 'sed'. Did you mean 'seed'?",
    ):
        assert words in outcome.err, outcome.err
    assert outcome.err.count("bad.yaml: ") == 7
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: [", "bad.yaml:1: not valid YAML"),
        ("model: {path: x}\nmodel: {path: y}\n", "bad.yaml:2: not valid YAML: the key 'model' is given twice"),
        ("- a list", "expected a mapping"),
        ("", "expected a mapping"),
        ("data: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_yaml_that_cannot_be_read(cli: Cli, tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    outcome = cli("check", path)
    assert outcome.code == 2
    assert words in outcome.err


def test_set_completes_a_cut_from_its_default(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tiny_folder))
    outcome = cli("check", path, "--set", "thresholds.knowledge_novelty.cut=0.25")
    assert yaml.safe_load(outcome.out)["thresholds"]["knowledge_novelty"] == {
        "kind": "below",
        "cut": 0.25,
        "at_most": None,
    }
    assert cli("check", path, "--set", "nonsense").code == 2


def test_bad_rows_are_skipped_counted_and_named(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder)
    lines = [json.dumps(row) for row in chat_rows(4)]
    lines[1] = '{"messages": [{"role": "user"'
    lines += [
        json.dumps(chat_row("sum-1", "again", "the same id")),
        json.dumps(chat_row("empty", "say nothing", "")),
        json.dumps(chat_row("number", "content is no text", 5)),  # type: ignore[arg-type]
        json.dumps({"id": "other", "question": "1+1?", "answer": "2"}),
        json.dumps({"id": "unknown", "alpha": 1}),
        json.dumps(chat_row("hostile", "\x00\u202e\ud800 שלום", "مرحبا \x00 \ud83d\ude00 <|im_end|> done")),
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(lines) + "\n")
    outcome = cli("score", write_config(tmp_path / "a.yaml", config))
    assert outcome.code == 0, outcome.err
    for place in (":2", ":5", ":6", ":7", ":9"):
        assert f"data.jsonl{place}" in outcome.out, outcome.out
    assert "\x00" not in outcome.out
    stopped = cli("score", tmp_path / "a.yaml", "--set", "data.on_error=stop", "--overwrite")
    assert stopped.code == 2
    assert "data.jsonl:2" in stopped.err


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.path=missing.jsonl"], "missing.jsonl"),
        (["model.path=./missing"], "./missing"),
        (["data.path={empty}"], "empty.jsonl"),
        (["attributes={reasoning_importance: {layers: [9]}}"], "layer"),
    ],
)
def test_missing_things(cli: Cli, tmp_path: Path, tiny_folder: Path, overrides: list[str], words: str) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tiny_folder))
    settings = [part for o in overrides for part in ("--set", o.replace("{empty}", str(tmp_path / "empty.jsonl")))]
    outcome = cli("score", path, *settings)
    assert outcome.code == 2
    assert words in outcome.err
    assert "Traceback" not in outcome.err


def test_inspect_marks_the_response_and_loads_no_weights(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    import shutil

    folder = tmp_path / "no-weights"
    shutil.copytree(tiny_folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, folder))
    outcome = cli("inspect", path, "-n", "1")
    assert outcome.code == 0, outcome.err
    assert "⟪<|im_end|>⟫" in outcome.out
    assert "12 rows read, 12 used" in outcome.out
    assert json.loads(cli("inspect", path, "--json").out)["report"]["rows"] == 12


def test_inspect_looks_at_data_without_a_configuration(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"question": f"{i}+1?", "answer": f"{i + 1}"}) + "\n" for i in range(4)))
    outcome = cli("inspect", data, "--model", tiny_folder, "-n", "1", "--strict")
    assert (outcome.code, outcome.err) == (0, "")
    assert "of them learnt" in outcome.out
    assert "4 rows read, 4 used" in outcome.out
    assert cli("inspect", data, data, "--model", tiny_folder, "--set", "data.limit=3").code == 0
    assert "--model MODEL" in cli("inspect", data).err
    data.write_text(data.read_text() + '{"question": "Hi"}\n')
    assert cli("inspect", data, "--model", tiny_folder).code == 0
    strict = cli("inspect", data, "--model", tiny_folder, "--strict", "--json")
    assert (strict.code, strict.err) == (1, "--strict: no known columns (1)\n")
    assert json.loads(strict.out)["report"]["examples"] == 4


def test_inspect_looks_at_the_labels_of_a_run(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tiny_folder))
    assert cli("run", path).code == 0
    folder = tmp_path / "run"
    seen = [cli("inspect", place, "--json") for place in (folder, folder / "labels")]
    assert seen[0] == seen[1]
    found = json.loads(seen[0].out)
    learnt = json.loads(cli("summary", folder, "--json").out)
    assert found["response_tokens"] == learnt["response_tokens"] - learnt["masked_tokens"]
    assert found["report"]["rows"] == 12


def test_attributes_lists_and_shows(cli: Cli) -> None:
    outcome = cli("attributes")
    assert "knowledge_novelty" in outcome.out
    assert "xtf-rarity" in outcome.out
    assert "measure" in cli("attributes", "knowledge_novelty").out
    assert "Did you mean 'random'?" in cli("attributes", "randm").err


def test_attributes_says_what_studies_found(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = registry.load("random")
    monkeypatch.setattr(scorer, "evidence", "no better [than] itself")
    assert "in studies: no better [than] itself" in cli("attributes", "random").out
    monkeypatch.setattr(scorer, "evidence", "")
    assert "not put to the test by training yet" in cli("attributes", "random").out


def test_init_writes_a_config_that_passes_check(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert cli("init", path, "--data", "x.jsonl").code == 0
    assert cli("check", path).code == 0
    assert "exists already" in cli("init", path).err


def test_ctrl_c_says_how_to_go_on(cli: Cli, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xtf.model import SignalPass

    path = write_config(tmp_path / "a.yaml", tiny_config(tmp_path, tiny_folder, scoring={"examples_per_shard": 4}))
    original, calls = SignalPass.run, []

    def interrupted(self: SignalPass, tokens: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, tokens)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(SignalPass, "run", interrupted)
        outcome = cli("score", path)
    assert outcome.code == 130
    assert "run the same command again" in outcome.err
    first = (tmp_path / "run/scores/part-00000.parquet").stat().st_mtime_ns
    assert cli("score", path).code == 0
    assert (tmp_path / "run/scores/part-00000.parquet").stat().st_mtime_ns == first


def test_held_out_file_may_have_another_schema(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    held_out = write_jsonl(tmp_path / "h.jsonl", [{"question": "2+2?", "answer": "So 4.\n#### 4"}])
    config = tiny_config(
        tmp_path,
        tiny_folder,
        training={"arms": ["base", "xtf"], "epochs": 1},
        evaluation={"path": str(held_out), "max_new_tokens": 3},
    )
    outcome = cli("run", write_config(tmp_path / "a.yaml", config))
    assert outcome.code == 0, outcome.err
    assert "held-out loss" in outcome.out

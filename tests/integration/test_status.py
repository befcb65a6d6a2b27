"""After a change, what rests on what was there before is made again or called stale; and how to go on."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import xtf
from tests.conftest import Cli, chat_rows, tiny_config, write_config, write_jsonl
from xtf.api import Run
from xtf.report import write_report

TRAINING = {
    "arms": ["base", "full", "random", "mine", "xtf"],
    "max_steps": 1,
    "warmup_ratio": 0.0,
    "batch_size": 2,
    "max_examples": 4,
}
CUTS = {"random": {"kind": "bottom_share", "share": 0.3}}
MINE = {"mine": {"thresholds": {"random": {"kind": "top_share", "keep": 0.5}}}}


def config(folder: Path, model: Path, **more: Any) -> dict[str, Any]:
    return tiny_config(folder, model, attributes={"random": {}}, thresholds=CUTS, **more)


@pytest.fixture
def trained(tmp_path: Path, tiny_folder: Path) -> Run:
    rows = write_jsonl(tmp_path / "clean.jsonl", chat_rows(12))
    xtf.plant(rows, tmp_path / "noisy.jsonl", rate=0.3, kinds=["number"])
    settings = config(tmp_path, tiny_folder, training=TRAINING, arms=MINE)
    settings["data"] = {"path": str(tmp_path / "noisy.jsonl")}
    run = xtf.run(settings)
    assert "<pre" in xtf.detect(run, tmp_path / "noisy.truth.jsonl")._repr_html_()
    xtf.export(run)
    write_report(run)
    return run


def parts(run: Run) -> list[str]:
    return [one.part for one in run.status().stale]


def test_after_new_labels_all_that_rests_on_them_is_stale_until_made_again(trained: Run, tmp_path: Path) -> None:
    assert parts(trained) == []
    assert trained.manifest.get("stale", []) == []
    xtf.label(trained, ["thresholds.random.share=0.6"])
    assert parts(trained) == ["arms", "detection", "report", "export"]
    arms = next(one for one in trained.status().stale if one.part == "arms")
    assert (arms.what, arms.why) == ("arms random, xtf", "trained on earlier labels")
    assert trained.manifest["stale"] == [one.sentence() for one in trained.status().stale]
    page = (trained.path / "report.html").read_text(encoding="utf-8")
    assert page.count('<p class="stale"') == 1
    xtf.train(trained)
    assert parts(trained) == ["detection", "report", "export"]
    xtf.detect(trained, tmp_path / "noisy.truth.jsonl")
    write_report(trained)
    assert parts(trained) == ["export"]
    assert '<p class="stale"' not in (trained.path / "report.html").read_text(encoding="utf-8")
    xtf.label(trained, ["thresholds.random.share=0.3"])
    assert "export" not in parts(trained), "the labels are again those of the export"
    assert parts(trained) == ["arms", "detection", "report"]


def test_labelling_again_alike_makes_nothing_stale(trained: Run) -> None:
    xtf.label(trained)
    assert parts(trained) == []


def test_new_scores_make_labels_and_arms_of_other_cuts_stale(trained: Run) -> None:
    settings = trained.config.model_dump(mode="json")
    settings["attributes"] = {"random": {"seed": 5}}
    xtf.score(settings)
    assert parts(trained)[:2] == ["labels", "arms"]
    assert trained.status().next == ("xtf", "label", str(trained.path))
    xtf.label(trained)
    arms = next(one for one in trained.status().stale if one.part == "arms")
    assert arms.what == "arms random, mine, xtf"


def test_what_shows_verdicts_says_that_they_are_stale(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    run = xtf.run(config(tmp_path, tiny_folder))
    first = next(run.example_ids())
    assert "stale" not in cli("explain", run.path).out
    settings = run.config.model_dump(mode="json")
    xtf.score({**settings, "attributes": {"random": {"seed": 5}}})
    said = f"stale: the labels: the scores have changed since. Make it again: xtf label {run.path}"
    for arguments in (
        ["explain"],
        ["explain", "--token", "9"],
        ["explain", "--reasons"],
        ["summary"],
        ["compare", run.path],
    ):
        assert said in cli(arguments[0], run.path, *arguments[1:]).out, arguments
    for arguments in (["explain", "--json"], ["summary", "--json"]):
        assert json.loads(cli(arguments[0], run.path, *arguments[1:]).out)["stale"] == [said]
    shown = (run.explain(first), run, run.status(), run.summary(), run.issues(), run.tokens())
    for one in shown:
        assert "the scores have changed since" in one._repr_html_(), type(one)
    assert all(said in text for text in (run.issues().headline(), repr(run.tokens())))
    xtf.label(run)
    for one in (run.explain(first), run, run.status(), run.summary(), run.issues(), run.tokens()):
        assert "changed since" not in one._repr_html_(), type(one)
    run.folder.update_manifest(stages={"score": {"done": False}})
    assert "scoring was begun again and is not finished. Make it again: xtf score" in cli("explain", run.path).out


def test_a_page_is_written_again_as_it_was_asked_for(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    one = xtf.run(config(tmp_path, tiny_folder))
    other = xtf.run({**config(tmp_path, tiny_folder), "output": str(tmp_path / "the other"), "seed": 3})
    assert cli("report", one.path, "--compare", other.path, "--example", "sum-2").code == 0
    assert parts(one) == []
    xtf.label(other, ["thresholds.random.share=0.6"])
    stale = one.status().stale[0]
    assert stale.why == f"it shows earlier labels of {other.path}"
    assert stale.command == ("xtf", "report", str(one.path), "--example=sum-2", f"--compare={other.path}")
    assert cli(*stale.command[1:]).code == 0
    assert parts(one) == []
    assert "written again" in cli("label", one.path, "--set", "thresholds.random.share=0.5").out
    page = (one.path / "report.html").read_text(encoding="utf-8")
    assert page.count('"ids":["sum-2"]') == 2
    other.path.rename(tmp_path / "gone")
    assert parts(one) == []


def test_labels_of_attributes_that_are_no_longer_scored_are_refused(cli: Cli, trained: Run) -> None:
    settings = trained.config.model_dump(mode="json")
    settings |= {"attributes": {"knowledge_novelty": {}}, "thresholds": {}, "arms": {}, "training": None}
    xtf.score(settings)
    assert parts(trained)[0] == "labels"
    refused = cli("summary", trained.path)
    assert refused.code == 2
    assert "the labels rest on random, but the scores are now those of knowledge_novelty" in refused.err
    assert cli("status", trained.path).code == 0
    xtf.label(trained)
    assert cli("summary", trained.path).code == 0


def test_other_cuts_in_the_configuration_make_labels_stale(trained: Run) -> None:
    settings = trained.config.model_dump(mode="json")
    settings["thresholds"]["random"]["share"] = 0.5
    xtf.score(settings)
    labels = trained.status().stale[0]
    assert (labels.part, labels.why) == (
        "labels",
        "cuts or their combination have changed since in config.yaml",
    )


def test_commands_say_it_and_the_page_is_written_again(cli: Cli, trained: Run) -> None:
    done = cli("label", trained.path, "--set", "thresholds.random.share=0.6")
    assert done.code == 0, done.err
    assert "written again:" in done.out
    assert "stale: arms random, xtf: trained on earlier labels" in done.out
    page = (trained.path / "report.html").read_text(encoding="utf-8")
    assert '<p class="stale"' not in page
    assert "trained on earlier labels" in page
    for command in (["summary"], ["compare", trained.path]):
        assert "arms random, xtf: trained on earlier labels" in cli(*command, trained.path).out
    overview = json.loads(cli("report", trained.path, "--json").out)
    stale = {arm["arm"]: arm["stale"] for arm in overview["metrics"]["arms"]}
    assert {name for name, why in stale.items() if why} == {"random", "xtf"}
    assert any("trained on earlier labels" in line for line in overview["warnings"])
    status = cli("status", trained.path)
    assert status.code == 0
    assert "next: xtf evaluate" in status.out
    as_json = json.loads(cli("status", trained.path, "--json").out)
    assert {stage["name"]: stage["state"] for stage in as_json["stages"]} == {
        "score": "done",
        "label": "done",
        "evaluate": "stale",
        "train": "stale",
        "report": "done",
        "export": "stale",
    }


def test_the_next_command_step_by_step(tmp_path: Path, tiny_folder: Path) -> None:
    odd = tmp_path / "it's a $(touch x) [run]"
    run = xtf.score({**config(tmp_path, tiny_folder), "output": str(odd)})
    assert run.status().next == ("xtf", "label", str(odd))
    assert shlex.split(run.status().command) == ["xtf", "label", str(odd)]
    assert [stage.state for stage in run.status().stages] == ["done", "open", "open"]
    xtf.label(run)
    assert run.status().next == ("xtf", "report", str(odd))
    write_report(run)
    assert run.status().next == ()
    html = run.status()._repr_html_()
    assert "label" in html


def test_a_run_shows_first_and_trains_last(
    cli: Cli, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config(tmp_path / "a.yaml", config(tmp_path, tiny_folder, training={**TRAINING, "arms": ["full"]}))
    seen: list[bool] = []
    train = xtf.api.train

    def train_later(*arguments: Any, **more: Any) -> Any:
        seen.append((tmp_path / "run" / "report.html").exists())
        return train(*arguments, **more)

    monkeypatch.setattr("xtf.api.train", train_later)
    done = cli("run", path)
    assert done.code == 0, done.err
    assert seen == [True]
    assert done.out.index("masked") < done.out.index("read it all") < done.out.index("Arms, on held-out")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert '"arm":"full"' in page
    assert parts(xtf.open_run(tmp_path / "run")) == []


def test_init_writes_no_training_and_the_rest_can_be_uncommented(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    path = tmp_path / "a.yaml"
    assert cli("init", path, "--data", "x.jsonl", "--model", tiny_folder).code == 0
    assert xtf.load_config(path).training is None
    text = path.read_text(encoding="utf-8")
    head, tail = text.split("# training:")
    path.write_text(head + re.sub("^# ?", "", "# training:" + tail, flags=re.MULTILINE), encoding="utf-8")
    loaded = xtf.load_config(path)
    assert loaded.training is not None
    assert loaded.training.arms[0] == "base"
    assert loaded.evaluation.path == "heldout.jsonl"

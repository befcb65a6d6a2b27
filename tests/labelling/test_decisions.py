"""People's verdicts against a loop over tokens, their file, and how they are kept, counted and explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.report.made import made_run
from xtf.api import Run, label, open_run
from xtf.config import apply_overrides, parse_config
from xtf.errors import DataError, RunError
from xtf.explain.rulings import arms_decided_lines
from xtf.files import write_json
from xtf.runs.staleness import scores_fingerprint, stale_arms
from xtf.steps.labellings import labellings, rules_of_arms
from xtf.training import labelled_rows

Write = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return made_run(tmp_path / "run", examples=8, combine={"max_noise_share": 0.5})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(*verdicts: dict[str, Any], by: str = "anna", name: str = "verdicts.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"xtf_verdicts": 1, "by": by, "verdicts": list(verdicts)}), encoding="utf-8")
        return path

    return file


def tokens(run: Run, example: str) -> list[Any]:
    return list(run.explain(example).tokens)


def judged(run: Run, example: str) -> list[int]:
    """Places of the tokens that can be masked."""
    return [one.index for one in tokens(run, example) if one.is_response and not one.is_protected]


def verdict(run: Run, example: str, start: int, count: int = 1, decided: str = "mask") -> dict[str, Any]:
    ids = [one.token_id for one in tokens(run, example)[start : start + count]]
    grain = "token" if count == 1 else "span"
    return {"grain": grain, "example": example, "start": start, "token_ids": ids, "decided": decided}


def test_the_smallest_grain_counts_and_nothing_else_changes(run: Run, write: Write) -> None:
    before = {name: tokens(run, name) for name in run.example_ids()}
    name = "made-0003"
    places = judged(run, name)
    first = next(p for p in places if all(q in places for q in range(p, p + 4)))
    every = before[name][first].token_id
    file = write(
        {"grain": "rule", "token_ids": [every], "decided": "mask"},
        verdict(run, name, first, 4, "keep"),
        verdict(run, name, first + 1, 1, "mask"),
    )
    label(run, verdicts=file)
    free = {example: judged(run, example) for example in before}
    changed = 0
    for example, olds in before.items():
        for old, new in zip(olds, tokens(run, example), strict=True):
            expected = old.noise
            if old.index in free[example]:
                if example == name and old.index == first + 1:
                    expected = True
                elif example == name and first <= old.index < first + 4:
                    expected = False
                elif old.token_id == every:
                    expected = True
                else:
                    assert (old.sentence, old.flip) == (new.sentence, new.flip)
            assert new.noise == expected
            changed += new.noise != old.noise
    by = {(one["by"], one["grain"]): one for one in run.manifest["decided"]}
    assert by["anna", "token"]["tokens"] == 1
    assert by["anna", "span"]["tokens"] == 3
    assert sum(one["changed"] for one in by.values()) == changed
    told = tokens(run, name)[first + 1]
    assert told.sentence.startswith("Masked: ")
    assert "decided by anna, for this token" in told.sentence
    assert told.flip is None
    assert run.summary().released_by_guards >= 0


def test_they_stay_until_forgotten_and_the_last_one_counts(run: Run, write: Write) -> None:
    name = "made-0001"
    place = next(p for p in judged(run, name) if not tokens(run, name)[p].noise)
    labels = run.manifest["stages"]["label"]["labels"]
    label(run, verdicts=write(verdict(run, name, place)))
    label(run, ["combine.max_noise_share=0.6"])
    assert tokens(run, name)[place].noise
    label(run, verdicts=[write(verdict(run, name, place, decided="keep"), by="ben", name="later.json")])
    assert not tokens(run, name)[place].noise
    assert [one["by"] for one in run.manifest["decided"]] == ["ben"]
    label(run, ["combine.max_noise_share=0.5"], verdicts=None)
    assert run.manifest["decided"] == []
    assert run.manifest["stages"]["label"]["labels"] == labels


def test_protected_and_prompt_tokens_cannot_be_decided(run: Run, write: Write) -> None:
    name = "made-0002"
    last, prompt = len(tokens(run, name)) - 1, 0
    label(run, verdicts=write(verdict(run, name, last), verdict(run, name, prompt)))
    assert not tokens(run, name)[last].noise
    assert not tokens(run, name)[prompt].noise
    assert sum(one["tokens"] for one in run.manifest["decided"]) == 0


def test_the_command_counts_by_whom(cli: Cli, run: Run, write: Write) -> None:
    name = "made-0001"
    place = next(p for p in judged(run, name) if not tokens(run, name)[p].noise)
    file = write(verdict(run, name, place), by="")
    done = cli("label", run.path, "--verdicts", file)
    assert done.code == 0, done.err
    total = sum(len(judged(run, one)) for one in run.example_ids())
    assert f"decided by the cuts: {total - 1:,} tokens" in done.out
    assert "decided by a person: 1 one by one; 1 otherwise than the cuts" in done.out
    assert json.loads(cli("summary", run.path, "--json").out)["decided"][0]["tokens"] == 1
    assert cli("label", run.path, "--verdicts", file, "--no-verdicts").code == 2
    assert "decided by" not in cli("label", run.path, "--no-verdicts").out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grain": "word"}, "verdict 1: grain: cannot be 'word'"),
        ({"decided": "drop"}, "mask or keep"),
        ({"token_ids": []}, "expected a list of token ids"),
        ({"token_ids": [True]}, "expected a list of token ids"),
        ({"token_ids": [1, 2]}, "a token names one token id, not 2"),
        ({"example": None}, "expected an id and a place"),
        ({"start": -1}, "expected an id and a place"),
        ({"example": "made-9999"}, "has no example 'made-9999'"),
        ({"start": 100000}, "has other tokens at 100000"),
        ({"token_ids": [10**30]}, "has other tokens at"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_labelled(
    run: Run, write: Write, change: dict[str, Any], words: str
) -> None:
    entry = {**verdict(run, "made-0001", judged(run, "made-0001")[0]), **change}
    before = run.manifest
    with pytest.raises(DataError, match=words):
        label(run, verdicts=write(entry))
    assert run.manifest == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"xtf_verdicts": 2}', '{"xtf_verdicts": 1, "verdicts": 3}', "\x00"])
def test_a_file_of_something_else_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(DataError, match=r"other\.json"):
        label(run, verdicts=tmp_path / "other.json")


def test_a_damaged_store_is_named(run: Run, write: Write) -> None:
    label(run, verdicts=write(verdict(run, "made-0001", judged(run, "made-0001")[0])))
    (run.path / "state" / "decisions.json").write_text("{")
    with pytest.raises(RunError, match="--no-verdicts"):
        open_run(run.path).summary()
    label(run.path, verdicts=None)
    open_run(run.path).summary()


def test_they_hold_in_arms_with_cuts_of_their_own_and_controls_keep_their_size(run: Run, write: Write) -> None:
    arms = ["full", "mine", "random_of_mine", "inverted_of_mine", "xtf"]
    changes = ["arms.mine.thresholds.novelty={kind: below, cut: 0.5}", f"training.arms={arms}"]
    config = parse_config(apply_overrides(run.config.model_dump(mode="json"), changes))

    def masked(arm: str) -> dict[str, Any]:
        examples, labelled = labellings(run, rules_of_arms(run, config))
        rows = labelled_rows(arm, examples, labelled, objective="mask", seed=3)
        return {row.example_id: row.is_response & (row.weights == 0) for row in rows}

    name, before = "made-0003", {arm: masked(arm) for arm in arms}
    kept = next(place for place in judged(run, name) if not before["mine"][name][place])
    lost = next(place for place in judged(run, name) if before["mine"][name][place])
    label(run, verdicts=write(verdict(run, name, kept, 1, "mask"), verdict(run, name, lost, 1, "keep")))
    after = {arm: masked(arm) for arm in arms}
    for arm in ("mine", "xtf"):
        assert (after[arm][name][kept], after[arm][name][lost]) == (True, False)
        differ = {
            (one, int(place)) for one in after[arm] for place in (after[arm][one] != before[arm][one]).nonzero()[0]
        }
        assert differ <= {(name, kept), (name, lost)}, "nothing else has changed"
    for one, own in after["mine"].items():
        assert after["random_of_mine"][one].sum() == own.sum()
    assert not any(own.any() for own in after["full"].values())
    decided = labellings(run, rules_of_arms(run, config))[1]["mine"].decided
    assert [(one.by, one.grain, one.tokens, one.changed) for one in decided] == [("anna", "token", 2, 2)]
    assert arms_decided_lines({"mine": [one.to_dict() for one in decided]}) == [
        "mine: 2 tokens decided by people, 2 otherwise than its cuts"
    ]


def test_verdicts_make_arms_with_cuts_of_their_own_stale(run: Run, write: Write) -> None:
    write_json(
        run.folder.metrics_path,
        {"arms": [{"arm": "mine"}, {"arm": "full"}], "scores": scores_fingerprint(run.folder)},
    )
    assert stale_arms(run) == []
    label(run, verdicts=write(verdict(run, "made-0003", judged(run, "made-0003")[0])))
    assert stale_arms(run) == ["mine"]
    label(run, verdicts=None)
    assert stale_arms(run) == []

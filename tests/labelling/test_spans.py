"""Spans and whole examples against loops over tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.report.made import made_run
from xtf.api import Run, label
from xtf.labelling.spans import find_spans, judge_examples, quality, wrong_tokens

THRESHOLDS = {
    "right": {"kind": "below", "cut": 0.3},
    "novelty": {"kind": "bottom_share", "share": 0.3},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("spans") / "run"
    return made_run(folder, examples=20, thresholds=THRESHOLDS, kinds=("a typo", "a swap"))


def test_spans_and_examples_are_those_of_a_loop(run: Run) -> None:
    for shard, labels in run.labelled():
        wrong = wrong_tokens(run.rules, labels, run.probabilities)
        scores = quality(run.rules, shard, run.probabilities)
        spans = find_spans(shard, labels, wrong, scores)
        table = judge_examples(shard, labels, wrong, scores, spans)
        found = list(zip(spans.start.tolist(), spans.stop.tolist(), spans.wrong.tolist(), strict=True))
        expected = []
        for place in range(len(shard)):
            first, end = shard.offsets[place : place + 2].tolist()
            own: list[list[int]] = []
            states: list[str] = []
            for token in range(first, end):
                state = ""
                if labels.noise[token]:
                    state = "wrong" if shard.scores["right"][token] < np.float32(0.3) else "useless"
                if state and states and states[-1] == state:
                    own[-1].append(token)
                elif state:
                    own.append([token])
                states.append(state)
            right = {token: float(shard.scores["right"][token]) for token in range(first, end)}
            spanned = [(tokens, states[tokens[0] - first] == "wrong") for tokens in own]
            expected += [(tokens[0], tokens[-1] + 1, is_wrong) for tokens, is_wrong in spanned]
            response = int(shard.is_response[first:end].sum())
            assert table.response[place] == response
            assert table.share_wrong[place] == pytest.approx(states.count("wrong") / response)
            assert table.share_useless[place] == pytest.approx(states.count("useless") / response)
            assert table.weight[place] == pytest.approx(labels.weights[first:end].sum() / response, abs=1e-6)
            judged = [right[token] for token in range(first, end) if shard.candidates()[token]]
            worst = [np.mean([right[t] for t in tokens]) for tokens, is_wrong in spanned if is_wrong]
            assert table.score[place] == pytest.approx(min(worst, default=min(judged)), abs=1e-6)
        assert found == expected
        assert set(spans.wrong.tolist()) == {True, False}


def test_without_probabilities_the_lowest_percentile_counts(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run", examples=6, thresholds={"novelty": {"kind": "bottom_share", "share": 0.2}})
    (shard,) = made.shards()
    scores = quality(made.rules, shard, [])
    judged = np.flatnonzero(shard.candidates())
    order = judged[np.argsort(shard.scores["novelty"][judged])]
    assert np.all(np.diff(scores[order]) >= 0)
    assert 0.0 <= scores[order[0]] < 0.1 < 0.9 < scores[order[-1]] <= 1.0
    assert np.isnan(scores[~shard.candidates()]).all()


def test_cuts_that_never_decide_make_no_spans(tmp_path: Path) -> None:
    made = made_run(tmp_path / "run", examples=3, thresholds={"novelty": {"kind": "never"}})
    for one in made.issues():
        assert (one.worst_span, one.share_wrong, one.share_useless, one.weight, one.spans) == (1.0, 0.0, 0.0, 1.0, ())


def test_examples_that_keep_nothing_are_judged_too(run: Run) -> None:
    made = label(run, ["thresholds.right.cut=1.0e+9"])
    found = list(made.issues())
    assert len(found) == 20
    assert all(one.share_useless == 0.0 and one.share_wrong > 0.8 and one.weight < 0.2 for one in found)
    label(run, ["thresholds.right.cut=0.3"])

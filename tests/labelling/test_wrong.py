"""How much looks wrong, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.labelling.scored import shard
from xtf.labelling.wrong import expect_wrong


def test_the_share_is_the_mean_doubt_and_the_margin_that_of_examples() -> None:
    random = np.random.default_rng(1)
    examples = [random.random(int(random.integers(1, 9))).astype(np.float32) for _ in range(30)]
    part = shard([{"q": scores.tolist()} for scores in examples])
    judged = part.candidates()
    doubt = 1.0 - part.scores["q"][judged].astype(np.float64)
    found = expect_wrong([part], "q")
    assert found.share == pytest.approx(doubt.mean())
    owner = np.repeat(np.arange(30), np.diff(part.offsets))[judged]
    draws = []
    for _ in range(3000):
        drawn = np.bincount(random.integers(30, size=30), minlength=30)[owner]
        draws.append((drawn * doubt).sum() / drawn.sum())
    assert found.margin == pytest.approx(1.96 * np.std(draws), rel=0.1)


def test_kinds_share_the_doubt() -> None:
    part = shard([{"q": [0.9, 0.2, 0.5]}])
    kinds = np.where(part.candidates(), np.arange(len(part.input_ids)) % 2, -1).astype(np.int32)
    part = replace(part, details={"q.kind": kinds})
    found = expect_wrong([part, part], "q", ["a changed number", "foreign text"])
    doubt = np.where(part.candidates(), 1.0 - part.scores["q"], 0.0)
    total = int(part.candidates().sum())
    for place, kind in enumerate(["a changed number", "foreign text"]):
        assert found.kinds[kind] == pytest.approx(float(doubt[kinds == place].sum()) / total)
    assert sum(found.kinds.values()) == pytest.approx(found.share)
    assert found.sentence().startswith(f"about {100 * found.share:.1f} %")
    assert list(found.kinds.values()) == sorted(found.kinds.values(), reverse=True)


def test_nothing_is_wrong_where_there_is_nothing() -> None:
    assert expect_wrong([], "q").share == 0.0

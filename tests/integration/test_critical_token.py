"""Critical tokens through a run: scores in shards, what cannot be judged, labels, words, and other rows afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import xtf
from tests.conftest import Cli, chat_row, tiny_config

ROWS = [
    chat_row("yes", "Is 2 + 2 = 4?", "Yes, it is."),
    chat_row("fruit", "Name a fruit.", "An apple."),
    chat_row("no", "Is 7 even?", "No. It is odd."),
]


def test_a_run_learns_what_decides_the_answer(tmp_path: Path, tiny_folder: Path, cli: Cli, caplog: Any) -> None:
    """Answers are yes or no by their first word, so that whatever a random model writes later changes nothing."""
    attributes = {"critical_token": {"metric": "yes_no", "margin": 0}}
    config = tiny_config(tmp_path, tiny_folder, ROWS, attributes=attributes, scoring={"examples_per_shard": 2})
    with caplog.at_level("INFO", "xtf"):
        run = xtf.score(config)
    said = "1 example could not be judged ('fruit'), so the scores there say nothing"
    assert f"critical_token: {said}" in caplog.messages
    xtf.label(run)
    for name, first in (("yes", "Yes"), ("no", "No")):
        tokens = [token for token in run.explain(name).tokens if token.is_response]
        texts = [token.text for token in tokens]
        deciding = next(n for n in range(len(texts) + 1) if "".join(texts[:n]).startswith(first))
        assert [token.noise for token in tokens] == [False] * deciding + [True] * (len(texts) - deciding - 1) + [False]
        meaning = str(tokens[0].verdicts[0].meaning)
        assert "the answer becomes wrong with" in meaning or "it or another token stands there" in meaning
        assert "the answer stays right with" in tokens[deciding].sentence.replace("The", "the")
    fruit = [token for token in run.explain("fruit").tokens if token.is_response]
    assert not any(token.noise for token in fruit)
    assert all("the metric yes_no cannot judge" in str(token.verdicts[0].meaning) for token in fruit)
    assert said in cli("summary", run.path).out.replace("\n", " ")

    again = xtf.Scorer.load(run.path)(ROWS[::-1])[::-1]
    scores = np.concatenate([shard.scores["critical_token"] for shard in run.shards()])
    np.testing.assert_array_equal(np.concatenate([row["critical_token"] for row in again]), scores)

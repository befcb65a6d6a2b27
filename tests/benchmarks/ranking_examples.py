"""How well a figure of its tokens ranks examples with mistakes above those without.

Run it on a scored run whose configuration names a truth file::

    xtf score configs/quickstart.yaml && python -m tests.benchmarks.ranking_examples runs/quickstart
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.metrics import roc_auc_score

from xtf.api import label, open_run
from xtf.labelling.spans import find_spans, judge_examples, quality, wrong_tokens
from xtf.noise.truth import read_truth
from xtf.steps.truth import wrong_tokens as known_wrong


def ranking(path: str) -> dict[str, float]:
    """AUROC of "holds a mistake" by each figure."""
    run = label(open_run(path))
    truth = run.config.truth
    assert truth is not None
    known = read_truth(truth)
    noisy: list[bool] = []
    figures: dict[str, list[float]] = {"worst span": [], "worst token": [], "share wrong": []}
    for shard, labels in run.labelled():
        wrong, scores = wrong_tokens(run.rules, labels, run.probabilities), quality(run.rules, shard, run.probabilities)
        table = judge_examples(shard, labels, wrong, scores, find_spans(shard, labels, wrong, scores))
        mistakes = known_wrong(run, known, shard)
        for place, (start, stop) in enumerate(zip(shard.offsets[:-1], shard.offsets[1:], strict=True)):
            noisy.append(bool(mistakes[start:stop].any()))
            figures["worst span"].append(-float(table.score[place]))
            figures["worst token"].append(-float(np.nanmin(scores[start:stop])))
            figures["share wrong"].append(float(table.share_wrong[place]))
    return {name: float(roc_auc_score(noisy, values)) for name, values in figures.items()}


if __name__ == "__main__":
    for name, auroc in ranking(sys.argv[1]).items():
        print(f"{name}: {auroc:.3f}")

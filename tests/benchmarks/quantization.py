"""What weights in 8 and 4 bits cost: scores and labels against those of whole weights, on the quickstart's rows."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import xtf
from tests.benchmarks.setting import MODEL

ATTRIBUTES: dict[str, dict[str, Any]] = {"knowledge_novelty": {}, "reasoning_importance": {}, "entropy": {}}
CUTS = {name: {"kind": "bottom_share", "share": 0.1} for name in ATTRIBUTES}


def quantization(rows: int) -> dict[str, Any]:
    """Rank correlation of each score with that of whole weights, the share of labels that agree, and seconds."""
    with tempfile.TemporaryDirectory() as place:
        whole, seconds = _run(Path(place), "none", rows)
        found: dict[str, Any] = {"rows": rows, "seconds_of_none": seconds}
        for kind in ("8bit", "4bit"):
            other, seconds = _run(Path(place), kind, rows)
            found[kind] = {name: round(float(spearmanr(whole[name], other[name]).statistic), 4) for name in ATTRIBUTES}
            found[kind] |= {"labels": round(float(np.mean(whole["noise"] == other["noise"])), 4), "seconds": seconds}
    return found


def _run(place: Path, kind: str, rows: int) -> tuple[dict[str, Any], float]:
    """Scores and labels of the tokens that may be masked."""
    started = time.monotonic()
    run = xtf.label(
        xtf.score(
            {
                "model": {"path": MODEL, "dtype": "float32", "quantization": kind},
                "data": {"path": "configs/quickstart/train.jsonl", "limit": rows},
                "output": str(place / kind),
                "attributes": ATTRIBUTES,
                "thresholds": CUTS,
            }
        )
    )
    seconds = round(time.monotonic() - started, 1)
    pairs = list(run.labelled())
    free = [shard.is_response & ~shard.is_protected for shard, _ in pairs]
    columns = {
        name: np.concatenate([shard.scores[name][own] for (shard, _), own in zip(pairs, free, strict=True)])
        for name in ATTRIBUTES
    }
    noise = np.concatenate([labels.noise[own] for (_, labels), own in zip(pairs, free, strict=True)])
    return {**columns, "noise": noise}, seconds


if __name__ == "__main__":
    print(json.dumps(quantization(int(sys.argv[1]) if len(sys.argv) > 1 else 40), indent=1))

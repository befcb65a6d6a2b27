"""A scored run of any size without a model: shards of random numbers, written as scoring writes them.

``python -m tests.durability.synthetic FOLDER RESPONSE_TOKENS`` writes one, labels it as ``xtf label`` does, and prints
the seconds per 100 million response tokens and the peak memory of the labelling process.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xtf.config import RunConfig
from xtf.data import DataReport
from xtf.labelling.distribution import DistributionBuilder, measure_shard
from xtf.labelling.shard import ScoredShard
from xtf.runs.folder import RunFolder
from xtf.runs.tables import scored_shard, scores_table, tokens_table_of

NAMES = ("one", "two", "three")
PROMPT, RESPONSE = 30, 100

THRESHOLDS = {
    "one": {"kind": "top_share", "keep": 0.6},
    "two": {"kind": "multi_otsu", "classes": 3, "lacking": [0]},
    "three": {"kind": "below", "cut": -2.5},
}


def synthetic_config(folder: Path) -> RunConfig:
    """Three attributes; one exact corpus-wide share, one Multi-Otsu, one written cut; a token lacks by any."""
    attributes = {name: {"attribute": "random"} for name in NAMES}
    return RunConfig.model_validate(
        {
            "output": str(folder),
            "model": {"path": "none"},
            "data": {"path": "none.jsonl"},
            "attributes": attributes,
            "thresholds": THRESHOLDS,
        }
    )


def synthetic_shard(index: int, examples: int) -> tuple[pa.Table, pa.Table]:
    """Tokens and scores of ``examples`` examples, about 130 tokens each."""
    rng = np.random.default_rng(index)
    responses = rng.integers(RESPONSE // 2, RESPONSE * 3 // 2 + 1, examples)
    offsets = np.concatenate([[0], np.cumsum(responses + PROMPT)]).astype(np.int64)
    size = int(offsets[-1])
    place = np.arange(size) - np.repeat(offsets[:-1], responses + PROMPT)
    is_response = place >= PROMPT
    is_protected = np.zeros(size, np.bool_)
    is_protected[offsets[1:] - 1] = True
    ids = [f"example-{index * examples + i}" for i in range(examples)]
    input_ids = (rng.zipf(1.3, size) % 49152).astype(np.int32)
    columns = {"input_ids": input_ids, "is_response": is_response, "is_protected": is_protected}
    tokens = tokens_table_of(ids, offsets, columns)
    one = rng.random(size, dtype=np.float32)
    two = np.exp(rng.standard_normal(size, dtype=np.float32))
    three = rng.standard_normal(size, dtype=np.float32)
    scores = {
        name: np.where(is_response, values, np.nan).astype(np.float32)
        for name, values in zip(NAMES, (one, two, three), strict=True)
    }
    return tokens, scores_table(ids, offsets, scores)


def write_synthetic_run(folder: Path, response_tokens: int, examples_per_shard: int = 256) -> RunFolder:
    """Write a run folder that holds everything labelling reads."""
    from xtf.runs.measured import write_distribution
    from xtf.runs.settings import write_config

    run = RunFolder(folder)
    config = synthetic_config(folder)
    write_config(run, config)
    builders = {name: DistributionBuilder() for name in NAMES}
    counted = index = 0
    while counted < response_tokens:
        tokens, scores = synthetic_shard(index, examples_per_shard)
        shard: ScoredShard = scored_shard(tokens, scores, NAMES)
        measure_shard(builders, shard)
        size = int(shard.is_response.sum())
        facts: dict[str, Any] = {"data": "synthetic", "tokens": len(shard.input_ids), "response_tokens": size}
        record = run.write_shard("tokens", index, tokens, facts)
        run.write_shard("scores", index, scores, {"attributes": dict.fromkeys(NAMES, "x"), "tokens": record.sha256})
        counted, index = counted + size, index + 1
    for name, builder in builders.items():
        write_distribution(run, name, builder.result())
    run.complete("tokens", {"data": "synthetic", "shards": index, "report": {}})
    report = DataReport(rows=index * examples_per_shard, examples=index * examples_per_shard).to_dict()
    run.update_manifest(data_report=report, counts={"response_tokens": counted}, stages={"score": {"done": True}})
    return run


def main(folder: str, tokens: str) -> None:
    """Write (unless it is there), label in a process of its own, and print the figures."""
    path = Path(folder)
    if not (path / "manifest.json").exists():
        started = time.monotonic()
        write_synthetic_run(path, int(tokens))
        print(f"written in {time.monotonic() - started:.1f} s")
    count = int(RunFolder(path).manifest()["counts"]["response_tokens"])
    code = (
        "import resource, sys, time; from xtf import api; started = time.monotonic()\n"
        "api.label(sys.argv[1], sys.argv[2:]); seconds = time.monotonic() - started\n"
        "use = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(seconds, use.ru_maxrss / 1024, use.ru_utime + use.ru_stime, 'torch' in sys.modules)"
    )
    cut = f"thresholds.one.keep={0.5 + time.time() % 0.4:.4f}"
    done = subprocess.run([sys.executable, "-c", code, str(path), cut], capture_output=True, text=True, check=True)
    seconds, peak, cpu, torch = done.stdout.split()
    scale = 1e8 / count
    print(
        f"{count:,} response tokens: {float(seconds):.1f} s, {float(seconds) * scale:.1f} s per 100 million "
        f"({float(cpu) * scale:.1f} s of CPU), peak {float(peak):.0f} MiB, torch imported: {torch}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

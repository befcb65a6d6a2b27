"""Peak memory and time of LoRA training with and without gradient checkpointing, each in a process of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.memory import resident_mib

BATCH, LENGTH, STEPS = 8, 256, 2


def training_memory(pairs: int) -> dict[str, Any]:
    """Peak resident GiB of the whole process, and an update's time with checkpointing ÷ without, in turn.

    Time is the processor's, so that other work on the machine does not count.
    """
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for pair in range(pairs):
        for checkpointing in (False, True) if pair % 2 else (True, False):
            found[checkpointing].append(_child(checkpointing))
    ratios = [ours["seconds"] / plain["seconds"] for plain, ours in zip(found[False], found[True], strict=True)]
    facts = {"batch": BATCH, "tokens": LENGTH, "pairs": pairs}
    return {
        "training.peak_gib": {**_spread([one["gib"] for one in found[False]]), **facts},
        "training.peak_gib.checkpointing": {**_spread([one["gib"] for one in found[True]]), **facts},
        "training.checkpointing_over_plain": {
            **_spread(ratios),
            **facts,
            "seconds": round(statistics.median(one["seconds"] for one in found[True]), 2),
            "seconds_of_plain": round(statistics.median(one["seconds"] for one in found[False]), 2),
        },
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def _child(checkpointing: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.training_memory", *(["checkpointing"] if checkpointing else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _measure(checkpointing: bool) -> dict[str, float]:
    """Train on rows of exactly 256 tokens, all but the first quarter of which are learnt."""
    import numpy as np

    from tests.benchmarks.setting import MODEL
    from xtf.config import ModelConfig, TrainingConfig
    from xtf.model import load_model
    from xtf.training import TrainingJob, TrainingRow, train_model

    loaded = load_model(ModelConfig(path=MODEL, dtype="float32", device="cpu"))
    ids = np.random.default_rng(0).integers(1000, 40000, (BATCH * STEPS, LENGTH)).astype(np.int32)
    is_response = np.arange(LENGTH) >= LENGTH // 4
    rows = [TrainingRow(str(i), row, is_response.astype(np.float32), is_response) for i, row in enumerate(ids)]
    config = TrainingConfig(
        max_steps=STEPS, batch_size=BATCH, dtype="float32", gradient_checkpointing=checkpointing, warmup_ratio=0.0
    )
    before, started = resident_mib("VmHWM"), time.process_time()
    with (
        tempfile.TemporaryDirectory() as folder,
        train_model(loaded.model, loaded.tokenizer, rows, config, TrainingJob(Path(folder), "")) as done,
    ):
        assert np.isfinite(done.losses).all()
        seconds = (time.process_time() - started) / STEPS
    return {"gib": resident_mib("VmHWM") / 1024, "loaded_gib": before / 1024, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(_measure("checkpointing" in sys.argv[1:])))

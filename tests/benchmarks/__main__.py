"""``make bench``, or ``python -m tests.benchmarks --data train.jsonl --only scoring``: measure and write bench.json."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.benchmarks.detecting import detecting
from tests.benchmarks.influence import influence
from tests.benchmarks.memory import long_example_memory
from tests.benchmarks.page import page_seconds
from tests.benchmarks.scoring import against_published, padding_share, scoring
from tests.benchmarks.setting import MODEL, QUICKSTART, setting
from tests.benchmarks.targets import shown
from tests.benchmarks.training import training
from tests.benchmarks.training_memory import training_memory
from xtf.config import ModelConfig
from xtf.model import model_dtype
from xtf.runs.versions import versions

SHARD = 256
"""Padding depends on how many examples batches are chosen from: on a CPU, a shard of so many."""

GROUPS = ("scoring", "detecting", "memory", "influence", "training", "training-memory", "labelling", "page", "start")


def main() -> None:
    """Run the groups asked for, print and write what they measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="GSM8K rows, or any file that xtf reads; default: the quickstart rows"
    )
    parser.add_argument("--rows", type=int, default=SHARD, help="examples to score; influence takes a sixteenth")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--dtype", nargs="+", help="default: float32, and what dtype: auto means here if another")
    parser.add_argument("--labelling-tokens", type=int, default=100_000_000)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    options.dtype = options.dtype or sorted({"float32", model_dtype(ModelConfig(path=MODEL))}, reverse=True)
    figures: dict[str, Any] = {}
    for group in options.only:
        print(f"{group} …", file=sys.stderr, flush=True)
        measured = _MEASURES[group](options)
        figures.update(measured)
        for key, figure in measured.items():
            print(shown(key, figure), flush=True)
        report = {"machine": _machine(), "versions": versions(), "command": " ".join(sys.argv), "figures": figures}
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _scoring(options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    settings = [setting(dtype, options.data, max(options.rows, SHARD)) for dtype in options.dtype]
    for shard in settings:
        figures.update(scoring(shard.first(options.rows), options.pairs))
        figures[shard.named("scoring.padding_share")] = {"median": round(padding_share(shard), 4), "rows": SHARD}
    return {**figures, **against_published(settings, options.pairs)}


def _detecting(options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for dtype in options.dtype:
        figures.update(detecting(setting(dtype, options.data, options.rows), options.pairs))
    return figures


def _influence(options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for dtype in options.dtype:
        figures.update(influence(setting(dtype, options.data, max(4, options.rows // 16)), options.pairs))
    return figures


def _training(options: argparse.Namespace) -> dict[str, Any]:
    return training(setting("float32", options.data, options.rows), options.pairs)


def _labelling(options: argparse.Namespace) -> dict[str, Any]:
    """Label a synthetic run, then take its rows for training: each in a process of its own, seconds and memory."""
    from tests.durability.synthetic import write_synthetic_run

    with tempfile.TemporaryDirectory() as folder:
        run = write_synthetic_run(Path(folder), options.labelling_tokens)
        examples = sum(record.rows for record in run.records("tokens"))
        seconds, mib = _child("label", folder)
        _, rows_mib = _child("rows", folder)
    scale = 100_000_000 / options.labelling_tokens
    facts = {"tokens": options.labelling_tokens, "examples": examples}
    return {
        "labelling.seconds_per_100m_tokens": {"median": round(seconds * scale, 1), **facts},
        "labelling.peak_rss_mib": {"median": round(mib), **facts},
        "training.rows_mib": {"median": round(rows_mib), **facts},
    }


def _child(what: str, folder: str) -> tuple[float, float]:
    code = "import sys; from tests.benchmarks import corpus; print(*getattr(corpus, sys.argv[1])(sys.argv[2]))"
    done = subprocess.run([sys.executable, "-c", code, what, folder], capture_output=True, text=True, check=True)
    seconds, mib = (float(part) for part in done.stdout.split()[-2:])
    return seconds, mib


def _start(options: argparse.Namespace) -> dict[str, Any]:
    """The second ``xtf score`` of eight rows, whole process, with the model cached."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for attempt in range(4):
            config = Path(folder) / f"{attempt}.yaml"
            raw = {
                "output": f"{folder}/run-{attempt}",
                "model": {"path": MODEL},
                "data": {"path": str(QUICKSTART), "limit": 8},
            }
            config.write_text(yaml.safe_dump(raw), encoding="utf-8")
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "xtf", "score", str(config)], check=True, capture_output=True)
            seconds.append(time.perf_counter() - started)
    later = sorted(seconds[1:])
    return {
        "start.second_run_seconds": {
            "median": round(later[len(later) // 2], 2),
            "min": round(later[0], 2),
            "max": round(later[-1], 2),
        }
    }


def _machine() -> dict[str, Any]:
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads(), "gpu": gpu}


_MEASURES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "scoring": _scoring,
    "detecting": _detecting,
    "memory": lambda options: long_example_memory(),
    "influence": _influence,
    "training": _training,
    "training-memory": lambda options: training_memory(options.pairs),
    "labelling": _labelling,
    "page": lambda options: page_seconds(),
    "start": _start,
}

if __name__ == "__main__":
    main()

"""The environments of trainers, and what their drivers say."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = Path(__file__).parent / "drivers"
QUIET = {"DO_NOT_TRACK": "1", "AXOLOTL_DO_NOT_TRACK": "1", "WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Seen:
    """What a trainer saw: its rows, and the batches of its steps, each with the loss."""

    rows: list[dict[str, Any]]
    batches: list[dict[str, Any]]


def environment(name: str) -> Path:
    """The interpreter of a trainer's environment; skips where it is not made."""
    python = ROOT / ".interop" / name / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{name} is not installed here: tests/interop/make_env.sh {name} makes its environment")
    return python


def run_in(name: str, *arguments: str | Path) -> str:
    """Run a Python script in a trainer's environment; returns what it printed."""
    done = subprocess.run(
        [str(environment(name)), *map(str, arguments)],
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def train(name: str, config: Path, changes: Mapping[str, Any]) -> Seen:
    """Train with the settings in ``config`` but for ``changes``, by the trainer's own code."""
    settings = {**yaml.safe_load(config.read_text(encoding="utf-8")), **changes}
    changed, out = config.with_name("changed.yaml"), config.with_name("seen.json")
    changed.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    run_in(name, DRIVERS / f"{name.replace('-', '_')}_driver.py", changed, out)
    return Seen(**json.loads(out.read_text(encoding="utf-8")))


def unpadded(batch: Mapping[str, Any], column: str) -> list[list[Any]]:
    """The rows of a padded batch without their padding."""
    pairs = zip(batch[column], batch["attention_mask"], strict=True)
    return [[v for v, real in zip(row, mask, strict=True) if real] for row, mask in pairs]


def unpacked(batch: Mapping[str, Any], column: str) -> list[list[Any]]:
    """The rows that lie in a packed batch, each of which its attention mask gives a number from 1."""
    rows: list[list[Any]] = []
    for values, numbers in zip(batch[column], batch["attention_mask"], strict=True):
        for number in range(1, max(numbers) + 1):
            rows.append([value for value, mine in zip(values, numbers, strict=True) if mine == number])
    return rows


def mean_loss(model: Any, rows: list[tuple[list[int], list[float]]], divisor: float) -> float:
    """By hand: the sum over tokens of weight times surprise, divided; each row alone, in float64."""
    total = 0.0
    for ids, weights in rows:
        logits = model.double()(torch.tensor([ids])).logits[0]
        log_probs = logits.log_softmax(-1)
        total -= sum(
            weight * float(log_probs[place - 1, token])
            for place, (token, weight) in enumerate(zip(ids, weights, strict=True))
            if weight
        )
    return total / divisor

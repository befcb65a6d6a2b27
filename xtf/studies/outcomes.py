"""What is measured of one trained arm, item by item, and how it is kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xtf.errors import RunError
from xtf.evaluation.answers import Generation, generate_answers
from xtf.evaluation.held_out import token_losses
from xtf.files import read_sealed, read_sealed_json, write_json, write_sealed, write_sealed_json
from xtf.studies.bench import Bench
from xtf.tokens import FloatArray, TokenizedExample

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One arm with one seed.

    Attributes:
        facts: What it was trained on and how: see ``running``.
        held_out: ``(response tokens,)`` float32 for each held-out row: losses in nats.
        retention: The same for each unrelated text.
        right: Example id to whether the generated answer is right by the first metric; empty where none is generated.
        metric: Name of that metric.
    """

    facts: Mapping[str, Any]
    held_out: Sequence[FloatArray]
    retention: Sequence[FloatArray]
    right: Mapping[str, bool] = field(default_factory=dict)
    metric: str | None = None


def measure(model: Any, bench: Bench, folder: Path, *, answers: bool, advance: Advance) -> Outcome:
    """Measure a model: losses of held-out rows and unrelated texts, and generated answers.

    Args:
        model: The trained model, or the base.
        bench: What judges.
        folder: Receives ``answers.json``.
        answers: Whether to generate.
        advance: Called with the number of rows done.
    """
    held_out = token_losses(model, bench.held_out.examples, advance=advance)
    retention = token_losses(model, bench.retention, advance=advance)
    judges = bench.judges if answers else None
    if judges is None or not judges.metrics:
        return Outcome(facts={}, held_out=held_out, retention=retention)
    by_id = {example.example_id: example for example in bench.held_out.examples}
    asked = [by_id[task.example_id] for task, wanted in zip(judges.tasks, judges.asked, strict=True) if wanted]
    settings = bench.setting.config.evaluation
    generation = Generation(settings.max_new_tokens, settings.batch_size)
    texts = generate_answers(model, bench.loaded.tokenizer, asked, generation, advance=advance)
    _, shown = judges.judge({one.example_id: text for one, text in zip(asked, texts, strict=True)})
    write_json(folder / "answers.json", shown)
    first = judges.metrics[0].name
    right = {row["example_id"]: bool(row["metrics"][first]["correct"]) for row in shown if first in row["metrics"]}
    return Outcome(facts={}, held_out=held_out, retention=retention, right=right, metric=judges.metrics[0].label)


def rows_to_measure(bench: Bench, *, answers: bool) -> int:
    """How many rows :func:`measure` goes through."""
    asked = sum(bench.judges.asked) if answers and bench.judges is not None and bench.judges.metrics else 0
    return len(bench.held_out.examples) + len(bench.retention) + asked


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Keep an outcome; it counts once ``result.json`` is there."""
    buffer = io.BytesIO()
    np.savez(buffer, held_out=_joined(outcome.held_out), retention=_joined(outcome.retention))
    write_sealed(folder / "losses.npz", buffer.getvalue())
    kept = {key: value for key, value in asdict(outcome).items() if key in ("facts", "right", "metric")}
    write_sealed_json(folder / "result.json", kept)


def read_outcome(folder: Path, fingerprint: str, bench: Bench) -> Outcome | None:
    """The outcome kept in a folder, if it is whole and was made under ``fingerprint``."""
    try:
        kept = read_sealed_json(folder / "result.json")
        if kept["facts"]["fingerprint"] != fingerprint:
            return None
        with np.load(io.BytesIO(read_sealed(folder / "losses.npz")), allow_pickle=False) as arrays:
            held_out = _split(arrays["held_out"], bench.held_out.examples)
            retention = _split(arrays["retention"], bench.retention)
    except (RunError, KeyError, ValueError, TypeError):
        return None  # not there, or not what was written: it is measured again
    return Outcome(held_out=held_out, retention=retention, **kept)


def _joined(losses: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate([np.zeros(0, np.float32), *losses])


def _split(losses: FloatArray, examples: Sequence[TokenizedExample]) -> list[FloatArray]:
    ends = np.cumsum([int(example.is_response.sum()) for example in examples])
    if not len(ends) or ends[-1] != len(losses):
        raise ValueError("as many losses as response tokens")
    return np.split(losses, ends[:-1])

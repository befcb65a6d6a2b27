"""What it costs to find wrong tokens: scoring with label quality, and fitting it."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from tests.benchmarks.paired import compare
from tests.benchmarks.setting import Setting, plain_forward
from xtf.attribute import registry
from xtf.attribute.registry import AnyAttribute
from xtf.engine.fit import EngineFitContext
from xtf.engine.score import checked_columns
from xtf.model import Embedder, SignalPass

SCORED_ONCE = 2_000
"""Examples whose scoring fitting may cost as much as."""


def detecting(work: Setting, pairs: int) -> dict[str, Any]:
    """Fit on the examples, once, then score them in turn with plain forwards."""
    attribute = registry.build("label_quality", {})
    context = EngineFitContext(work.examples, work.loaded, Embedder(work.loaded))
    started = time.perf_counter()
    attribute.fit(context)
    seconds = time.perf_counter() - started
    signal_pass = SignalPass(work.loaded, attribute.requires())
    ratio = compare(partial(_score, work, attribute, signal_pass), partial(plain_forward, work), pairs)
    scoring = ratio["seconds_of_other"] * SCORED_ONCE / len(work.examples)
    return {
        work.named("scoring.label_quality_over_forward"): ratio,
        work.named("fitting.label_quality_over_scoring_2000"): {
            "median": round(seconds / scoring, 3),
            "seconds": round(seconds, 1),
            "examples": len(work.examples),
        },
    }


def _score(work: Setting, attribute: AnyAttribute, signal_pass: SignalPass) -> None:
    for batch in work.batches():
        checked_columns(attribute.name, attribute, signal_pass.run(batch))

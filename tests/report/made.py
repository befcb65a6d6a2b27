"""Finished runs made without a model: tokens and scores from a random generator, written as scoring writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from xtf.api import Run, label
from xtf.config import RunConfig
from xtf.labelling.distribution import measure
from xtf.runs.folder import RunFolder
from xtf.runs.measured import write_distribution
from xtf.runs.tables import scores_table, tokens_table
from xtf.runs.vocabulary import Vocabulary
from xtf.tokens import TokenizedExample

WORDS = (
    " the", " sum", " of", " 3", " and", " 5", " is", " 8", ".", "\n", "\t", " so", " then", " = ", "א", "مرحبا", "🙂",
    " <b>", "</script>", "'", '"', "{{ x }}", "\u2028", "\u202e", "  ", "<|end|>",
)  # fmt: skip
BYTES = (*(word.encode() for word in WORDS), b"\xe2\x82", b"\xac")
END = WORDS.index("<|end|>")

THRESHOLDS: dict[str, Any] = {
    "novelty": {"kind": "below", "cut": 0.1},
    "importance": {"kind": "iqr", "k": 0.5, "side": "low", "scope": "example"},
    "relevance": {"kind": "multi_otsu", "classes": 4, "lacking": [0], "scope": "dataset"},
}


def made_run(
    path: Path,
    examples: int = 30,
    tokens: int = 40,
    thresholds: Mapping[str, Any] | None = None,
    combine: Mapping[str, Any] | None = None,
    pieces: Sequence[bytes] = BYTES,
    ids: Sequence[str] | None = None,
    seed: int = 0,
    kinds: Sequence[str] = (),
) -> Run:
    """Score and label; a third of each example is prompt, and some examples have a second turn.

    With ``kinds``, the first attribute is a probability and says which of these mistakes each token looks like.
    """
    rng = np.random.default_rng(seed)
    thresholds = THRESHOLDS if thresholds is None else thresholds
    names = ids if ids is not None else [f"made-{place:04d}" for place in range(examples)]
    rows = [_example(rng, name, tokens, len(pieces)) for name in names]
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    response = np.concatenate([row.is_response for row in rows])
    scores = {name: _scores(rng, place, response) for place, name in enumerate(thresholds)}
    entries: list[dict[str, Any]] = [{"name": name, "degenerate": None} for name in thresholds]
    if kinds:
        first = next(iter(thresholds))
        drawn = rng.integers(0, len(kinds), len(response)).astype(np.int32)
        scores[f"{first}.kind"] = np.where(response, drawn, -1).astype(np.int32)
        details = {"kind": {"kind": "category", "names": list(kinds)}}
        entries[0] = {"name": first, "details": details, "is_probability": True}
    folder = RunFolder(path)
    config = {
        "output": str(path),
        "model": {"path": "made/up"},
        "data": {"path": "made-up.jsonl"},
        "attributes": {name: {"attribute": "random"} for name in thresholds},
        "thresholds": dict(thresholds),
        "combine": dict(combine or {}),
    }
    path.mkdir(parents=True, exist_ok=True)
    resolved = RunConfig.model_validate(config).model_dump(mode="json")
    folder.config_path.write_text(yaml.safe_dump(resolved, sort_keys=False), encoding="utf-8")
    folder.write_shard(
        "tokens", 0, tokens_table(rows), {"tokens": int(offsets[-1]), "response_tokens": int(response.sum())}
    )
    folder.write_shard("scores", 0, scores_table(list(names), offsets, scores), {})
    Vocabulary(tuple(pieces), frozenset({END})).write(folder.vocabulary_path)
    run = Run(folder)
    for name, distribution in measure(list(thresholds), run.shards).items():
        write_distribution(folder, name, distribution)
    folder.update_manifest(
        stages={"score": {"done": True, "seconds": 1.0}},
        counts={"examples": len(rows), "tokens": int(offsets[-1]), "response_tokens": int(response.sum())},
        versions={"numpy": np.__version__},
        attributes=entries,
        data_report={
            "rows": len(rows),
            "examples": len(rows),
            "truncated": 0,
            "dropped_too_long": 0,
            "skipped": {},
            "warnings": {},
        },
    )
    return label(run)


def _example(rng: np.random.Generator, name: str, tokens: int, pieces: int) -> TokenizedExample:
    size = int(rng.integers(max(tokens * 3 // 4, 4), tokens + 1))
    response = np.arange(size) >= size // 3
    if rng.random() < 0.3:
        response[size // 2 : size // 2 + size // 8] = False
    protected = np.zeros(size, np.bool_)
    protected[-1] = True
    input_ids = rng.integers(0, pieces, size).astype(np.int32)
    input_ids[-1] = min(END, pieces - 1)
    return TokenizedExample(name, input_ids, response, protected & response)


def _scores(rng: np.random.Generator, place: int, response: Any) -> Any:
    """Scores on scales that differ: shares crowded near 0, normal ones, and few distinct ones."""
    size = len(response)
    kinds = (rng.beta(0.4, 0.8, size), rng.normal(0.0, 1.0, size), np.round(rng.beta(2, 3, size), 2))
    values = kinds[place % 3].astype(np.float32)
    values[~response] = np.nan
    return values

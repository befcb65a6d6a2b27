"""What the fuzz tests feed: rows, settings, and damage to the files of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

texts = st.text(max_size=40) | st.sampled_from(
    [
        "",
        " ",
        "\n",
        "\x00",
        "\u202e",
        "\ud800",
        "<|im_end|>",
        "<|im_start|>assistant\n",
        "a" * 3000,
        "😀" * 9,
        "5 + 5 = 10",
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
roles = st.sampled_from(["user", "assistant", "system", "tool", "nobody", ""]) | scalars
messages = st.lists(st.fixed_dictionaries({"role": roles, "content": texts | values}) | values, max_size=5)
keys = st.sampled_from(
    [
        "id",
        "messages",
        "prompt",
        "completion",
        "question",
        "answer",
        "instruction",
        "output",
        "text",
        "input_ids",
        "conversations",
        "response",
        "labels",
        "tools",
        "system",
    ]
)
rows = (
    st.fixed_dictionaries({"messages": messages}, optional={"id": values})
    | st.dictionaries(keys, messages | values, max_size=4)
    | values
)

paths = st.sampled_from(
    [
        "model.path",
        "model.dtype",
        "data.path",
        "data.limit",
        "data.split",
        "data.columns.id",
        "data.too_long",
        "seed",
        "data.max_length",
        "attributes",
        "attributes.knowledge_novelty",
        "attributes.knowledge_novelty.variant",
        "output",
        "thresholds",
        "thresholds.knowledge_novelty",
        "thresholds.knowledge_novelty.kind",
        "thresholds.random.cut",
        "combine",
        "combine.rule",
        "combine.votes",
        "combine.weights",
        "combine.weight_by",
        "combine.max_noise_share",
        "scoring.examples_per_shard",
        "training",
        "training.arms",
        "training.seeds",
        "training.epochs",
        "evaluation",
        "strategy",
        "strategy.kind",
        "strategy.rounds",
        "arms",
        "arms.mine",
        "nonsense",
        "a.b.c",
    ]
)
words = st.sampled_from(
    ["below", "iqr", "multi_otsu", "any", "all", "weighted", "random", "self_evolving", "top_share", "xtf", "full", "."]
)
sections = st.dictionaries(words | st.sampled_from(["kind", "cut", "share", "keep", "classes"]), scalars | words)

reading = st.sampled_from(
    [
        ("summary",),
        ("summary", "--json"),
        ("explain",),
        ("explain", "-e", "sum-2", "--json"),
        ("explain", "-t", "9"),
        ("label",),
        ("label", "--set", "thresholds.random.cut=0.5"),
        ("report",),
        ("train",),
        ("evaluate",),
        ("compare", "-e", "sum-2"),
    ]
)
damages = st.tuples(
    st.integers(0, 10_000),
    st.sampled_from(["flip", "cut", "empty", "delete", "text", "json", "folder"]),
    st.integers(0, 1 << 30),
    st.integers(0, 7),
    values,
)


def damage(run: Path, which: int, how: str, where: int, bit: int, value: Any) -> None:
    """Do something to one file of a run."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.suffix not in (".lock", ".owner"))
    path = files[which % len(files)]
    content = bytearray(path.read_bytes())
    if how == "flip" and content:
        content[where % len(content)] ^= 1 << bit
        path.write_bytes(content)
    elif how == "cut":
        path.write_bytes(content[: where % (len(content) + 1)])
    elif how in ("delete", "folder"):
        path.unlink()
        if how == "folder":
            path.mkdir()
    else:
        path.write_text({"empty": "", "text": str(where), "json": json.dumps(value)}.get(how, "{}"))

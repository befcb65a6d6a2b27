"""A driver for the whole session, a run small enough to be killed often, and how many cases are tried."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import chat_rows, tiny_config, write_jsonl
from tests.durability.driver import Driver, driver

THOROUGHNESS = int(os.environ.get("XTF_THOROUGHNESS", "1"))
"""How many times as many cases are tried; above 1, others each time. ``make fuzz`` sets it."""


@pytest.fixture(scope="package")
def forked() -> Iterator[Driver]:
    """Runs commands in processes of their own, without starting Python each time."""
    with driver() as started:
        yield started


def small_config(folder: Path, model: Path, **more: Any) -> dict[str, Any]:
    """Twelve examples in four shards; two scorers, one of which has to be fitted."""
    folder.mkdir(parents=True, exist_ok=True)
    held_out = write_jsonl(folder / "held-out.jsonl", chat_rows(16)[12:])
    return tiny_config(
        folder,
        model,
        attributes={"knowledge_novelty": {}, "random": {}},
        scoring={"examples_per_shard": 3},
        evaluation={"path": str(held_out), "max_new_tokens": 2},
        **more,
    )

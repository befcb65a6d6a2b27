"""A small study with a tiny model: files on disk, and its mapping."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import chat_row, chat_rows, tiny_config, write_config, write_jsonl

TRAINING = {"epochs": 1, "batch_size": 4, "learning_rate": 0.01, "lora": {"r": 2, "alpha": 4}}

MakeStudy = Callable[..., dict[str, Any]]


@pytest.fixture
def make_study(tmp_path: Path, tiny_folder: Path) -> MakeStudy:
    """A study of twelve short sums, by its mapping; changes by keyword. Its folder is ``tmp_path / OUTPUT``."""
    write_jsonl(tmp_path / "held-out.jsonl", [chat_row(f"h-{i}", f"Add {i}.", f"{i} + 1 = {i + 1}.") for i in range(8)])
    base = tiny_config(
        tmp_path,
        tiny_folder,
        chat_rows(12),
        attributes={"knowledge_novelty": {}, "random": {}},
        training=TRAINING,
        evaluation={"path": str(tmp_path / "held-out.jsonl"), "exact_match": False},
    )
    config = write_config(tmp_path / "base.yaml", base)

    def make(output: str = "study", **more: Any) -> dict[str, Any]:
        return {
            "output": str(tmp_path / output),
            "config": str(config),
            "seeds": [0],
            "settings": {"planted": {"plant": {"rate": 0.3, "kinds": ["digits", "boilerplate"]}}},
            "arms": {"novelty": {"thresholds": {"knowledge_novelty": {"kind": "bottom_share", "share": 0.3}}}},
            **more,
        }

    return make

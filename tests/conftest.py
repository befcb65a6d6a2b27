"""Fixtures that several rooms share: a tiny model on disk, chat rows, the command line in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import settings

from tests.tiny import tiny_model, tiny_tokenizer
from xtf.cli import main

settings.register_profile("untimed", deadline=None)  # machines are shared, and no test is about its own speed
settings.load_profile("untimed")


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read what commands say on standard error; how far they are depends on how busy the machine is."""
    monkeypatch.setattr("xtf.progress.displays.LONG", float("inf"))


@pytest.fixture(autouse=True, scope="session")
def _offline_and_on_one_thread() -> None:
    """No test may reach for the network; models this small run fastest on one thread, above all on a busy machine."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama with its tokenizer, saved as a model folder."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    tiny_model("llama").save_pretrained(str(folder))
    tiny_tokenizer().save_pretrained(str(folder))
    return folder


def chat_row(name: str, question: str, answer: str) -> dict[str, Any]:
    """One chat row."""
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"id": name, "messages": messages}


def chat_rows(count: int) -> list[dict[str, Any]]:
    """Different short sums, with answers of different lengths."""
    return [
        chat_row(f"sum-{i}", f"What is {i} plus {i * 3}?", "Let us add. " * (i % 3) + f"{i} + {i * 3} = {i * 4}.")
        for i in range(1, count + 1)
    ]


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tiny_config(
    folder: Path, model: Path, rows: Iterable[Mapping[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    """A configuration that scores ``rows`` with the tiny model into ``folder/run``."""
    data = write_jsonl(folder / "data.jsonl", chat_rows(12) if rows is None else rows)
    return {
        "output": str(folder / "run"),
        "model": {"path": str(model)},
        "data": {"path": str(data)},
        "attributes": {"knowledge_novelty": {}, "reasoning_importance": {}, "random": {}},
        **more,
    }


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m …`` on the CPU with one thread a process, for launchers of several processes; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def write_config(path: Path, config: Mapping[str, Any]) -> Path:
    """Write a configuration as YAML (JSON is YAML)."""
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")
    return path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run ``xtf`` with arguments, in this process."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        code = stopped.value.code
        assert isinstance(code, int)
        return Outcome(code, captured.out, captured.err)

    return run

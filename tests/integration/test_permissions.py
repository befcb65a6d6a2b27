"""Files and folders that this user may not read or write: which one, and what to do; nothing is called damaged."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, chat_rows, write_jsonl
from tests.report.made import made_run


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Refuse a path as the operating system does; its own permissions would not stop root, as whom tests may run."""

    def forbid(path: Path) -> None:
        def refuse(file: Any, *arguments: Any, **options: Any) -> Any:
            if str(file) == str(path):
                raise PermissionError(13, "Permission denied", str(path))
            return opened(file, *arguments, **options)

        opened = io.open
        monkeypatch.setattr(io, "open", refuse)
        monkeypatch.setattr(builtins, "open", refuse)

    return forbid


@pytest.mark.parametrize("name", ["config.yaml", "manifest.json", "tokens/part-00000.parquet", "state/vocabulary"])
def test_a_file_of_a_run_that_may_not_be_read(name: str, cli: Cli, tmp_path: Path, forbidden: Any) -> None:
    run = made_run(tmp_path / "run", examples=2, tokens=10).path
    path = next(run.glob(f"{name}*"))
    forbidden(path)
    outcome = cli("explain", run)
    advice = "permission denied. Change the permissions of this file, or name another one."
    assert (outcome.code, outcome.err) == (2, f"error: {path}: {advice}\n")


@pytest.mark.parametrize("arguments", [["inspect", "ROWS", "--model", "MODEL"], ["plant", "ROWS", "-o", "OUT"]])
def test_data_that_may_not_be_read(
    arguments: list[str], cli: Cli, tmp_path: Path, tiny_folder: Path, forbidden: Any
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", chat_rows(2))
    forbidden(rows)
    places = {"ROWS": rows, "MODEL": tiny_folder, "OUT": tmp_path / "out.jsonl"}
    outcome = cli(*[places.get(word, word) for word in arguments])
    assert outcome.code == 2
    assert f"{rows}: permission denied. Change the permissions of this file" in outcome.err

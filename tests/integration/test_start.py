"""What each command imports: a command that reads answers soon because it loads little."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import chat_rows, write_jsonl
from tests.report.made import made_run

ROOT = Path(__file__).parents[2]
MODELS = {"torch", "transformers", "datasets", "pandas", "sklearn", "scipy", "peft", "trl", "accelerate"}
"""What reading, labelling and explaining never need."""

PROGRAM = """
import sys
from xtf.cli import main
try:
    main(sys.argv[1:])
except SystemExit as done:
    assert not done.code, done.code
print("loaded", *(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("start") / "run").path


def loaded(*arguments: str | Path) -> set[str]:
    """The packages that a command has imported in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split()[1:])


def test_help_loads_the_command_line_alone() -> None:
    assert not loaded("--help") & (MODELS | {"numpy", "pyarrow", "pydantic", "yaml", "jinja2"})


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_versions_are_read_and_not_imported(option: str) -> None:
    assert not loaded(option) & (MODELS | {"numpy", "pyarrow", "pydantic", "yaml", "jinja2"})


@pytest.mark.parametrize(
    "arguments",
    [["attributes"], ["attributes", "label_quality"], ["check", "configs/quickstart.yaml"]],
    ids=" ".join,
)
def test_what_speaks_of_settings_loads_no_model_and_no_table(arguments: list[str]) -> None:
    assert not loaded(*arguments) & MODELS


@pytest.mark.parametrize("command", ["summary", "explain", "label"])
def test_what_reads_a_run_loads_no_model(command: str, run: Path) -> None:
    assert not loaded(command, run) & MODELS


@pytest.mark.parametrize("command", ["summary", "explain", "label"])
def test_what_renders_no_chat_loads_no_template(command: str, run: Path) -> None:
    assert "jinja2" not in loaded(command, run)


def test_the_page_loads_no_model(run: Path) -> None:
    assert not loaded("report", run) & (MODELS - {"pandas"})


def test_help_of_every_command_loads_no_more() -> None:
    assert not loaded("train", "--help") & (MODELS | {"numpy"})


def test_inspecting_loads_a_tokenizer_and_nothing_that_loads_models(tmp_path: Path, tiny_folder: Path) -> None:
    data = write_jsonl(tmp_path / "rows.jsonl", chat_rows(2))
    found = loaded("inspect", data, "--model", tiny_folder)
    assert "transformers" in found
    assert not found & (MODELS - {"torch", "transformers", "accelerate"})  # what importing transformers loads

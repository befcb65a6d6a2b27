"""Every command and snippet of README and docs, as written: read by the command line, and run on small stand-ins."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import typer
from datasets import Dataset

import xtf
from tests.conftest import chat_rows
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.cli import app, main
from xtf.config import parse_config
from xtf.errors import ConfigError

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODEL = "Qwen/Qwen3-0.6B"
"""What documents call the model. A tiny one lies under this name in the folder where they are tried out."""

READ_ONLY = {
    "xtf study": "trains for many minutes; tests/studies runs studies",
    "xtf run configs/maths.yaml": "asks for benchmarks that are downloaded",
    "xtf inspect last_run_prepared": "needs what another trainer has prepared",
    "xtf check-trainer runs/quickstart --max-length 1024": "exits with 1 where rows would be cut",
    "xtf run my.yaml": "needs what another trainer has prepared",
    "xtf export runs/mine": "of the run above",
}
"""Commands that are only read by the command line, and why."""
PLACEHOLDER = re.compile(r"^([A-Z]{4,}|OWNER/NAME|.*/HASH)$|…")
SHELL = ("head", "python")
"""Other programs that are run."""


def given(document: str) -> dict[str, Any]:
    """Names that the snippets of a document take from the reader's own program."""
    rows = chat_rows(8)
    return {
        "trainers.md": {"trainer": SimpleNamespace(add_callback=lambda callback: None)},
        "scorer.md": {"rows": rows, "sample": rows, "data": Dataset.from_list(rows)},
    }.get(document, {})


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)


def lines(path: Path) -> Iterator[str]:
    """Each command of the bash blocks in one line, without its comment."""
    for block in blocks(path, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.split("#")[0].strip():
                yield line


def words_of(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every ``xtf`` command of a document, of the help texts and of the first lines of configurations."""
    for path in DOCUMENTS:
        yield from ((line, words_of(line)) for line in lines(path))
        inline = re.findall(r"(?<!`)`(xtf [^`]+)`(?!`)", path.read_text(encoding="utf-8").replace("\n", " "))
        yield from ((line, words_of(line)) for line in inline)
    for path in sorted((ROOT / "xtf" / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield from ((f, words_of(f)) for f in re.findall(r"`(xtf [^`]+)`", ast.get_docstring(node) or ""))
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        yield first, words_of(first)


WRITTEN = sorted({line: words for line, words in commands() if words[0] == "xtf"}.items())


@pytest.mark.parametrize(("line", "words"), WRITTEN, ids=[line for line, _ in WRITTEN])
def test_the_command_line_reads_it(line: str, words: list[str]) -> None:
    root: Any = typer.main.get_command(app)
    command = root.commands.get(words[1])
    assert command is not None, f"{line}: no such command"
    if len(words) > 2 and not any(PLACEHOLDER.search(word) and word.endswith("…") for word in words[2:]):
        command.make_context(words[1], words[2:])
    settings = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    if words[1] == "study" or any("…" in one for one in settings):
        return
    named = re.findall(r"thresholds\.(\w+)\.", " ".join(settings))
    basis = {"model": {"path": "m"}, "data": {"path": "d"}, "attributes": {name: {} for name in named or ["random"]}}
    with_kinds = [f"thresholds.{name}.kind=below" for name in named if f"thresholds.{name}.kind" not in line]
    parse_config({**basis, "training": {}, "truth": "t"}, line, [*with_kinds, *settings])


@pytest.mark.parametrize(("line", "words"), WRITTEN, ids=[line for line, _ in WRITTEN])
def test_it_can_be_pasted_into_zsh(line: str, words: list[str]) -> None:
    for word in shlex.split(line, comments=True, posix=False):
        assert not (set(word) & set("[]{}*?") and word[0] not in "'\""), f"{line}: {word} is a pattern to zsh"


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as documents assume it: data, a model under its name, configurations, and a labelled run."""
    folder = tmp_path_factory.mktemp("documents")
    model: Any = tiny_model("llama")
    model.save_pretrained(str(folder / MODEL))
    tiny_tokenizer().save_pretrained(str(folder / MODEL))
    rows = [{"messages": row["messages"]} for row in chat_rows(32)]
    for name, some in (("train", rows[:24]), ("test", rows[24:28]), ("trusted", rows[28:])):
        text = "".join(json.dumps(row) + "\n" for row in some)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / "data").mkdir()
    shutil.copy(folder / "train.jsonl", folder / "data" / "part.jsonl")
    before = Path.cwd()
    os.chdir(folder)
    try:
        attributes: dict[str, dict[str, Any]] = {"label_quality": {}, "knowledge_novelty": {}}
        thresholds = {"label_quality": {"kind": "below", "cut": 0.75}, "knowledge_novelty": {"kind": "never"}}
        raw = {"model": {"path": MODEL}, "data": {"path": "train.jsonl"}, "output": "runs/my-run"}
        config = {**raw, "attributes": attributes, "thresholds": thresholds}
        (folder / "my-run.yaml").write_text(json.dumps(config), encoding="utf-8")
        shard = next(iter(xtf.run(config).shards()))
    finally:
        os.chdir(before)
    decided = {"grain": "rule", "token_ids": [int(shard.input_ids[shard.is_response][0])], "decided": "keep"}
    verdicts = {"xtf_verdicts": 1, "by": "a reader", "verdicts": [decided]}
    (folder / "verdicts.json").write_text(json.dumps(verdicts), encoding="utf-8")
    shutil.copytree(folder / "runs" / "my-run", folder / "runs" / "quickstart")
    return folder


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")  # TRL's of its own settings
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_it_runs_as_written(
    path: Path, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written, snippets = list(lines(path)), blocks(path, "python")
    if not written and not snippets:
        pytest.skip("neither commands nor snippets")
    shutil.copytree(stand_in, tmp_path, dirs_exist_ok=True)
    if any("xtf init my-run.yaml" in line for line in written):
        shutil.rmtree(tmp_path / "runs" / "my-run")
        Path(tmp_path, "my-run.yaml").unlink()
    monkeypatch.chdir(tmp_path)
    for block in blocks(path, "yaml"):
        if found := re.match(r"# (\S+\.yaml)\n", block):
            Path(found[1]).write_text(block, encoding="utf-8")
    for line in written:
        run_line(line)
    capsys.readouterr()
    names: dict[str, Any] = {"__name__": "document", **given(path.name)}
    for snippet in snippets:
        if "SFTConfig" in snippet and not torch.cuda.is_available():
            continue  # TRL's defaults ask for a GPU; tests/integrations trains with it on a CPU
        exec(compile(snippet, str(path), "exec", dont_inherit=True), names)


def run_line(line: str) -> None:
    """Run a command of a document in the folder where we are, if it is one of ours."""
    words = words_of(line)
    if any(PLACEHOLDER.search(word) for word in words) or any(line.startswith(known) for known in READ_ONLY):
        return
    if words[0] == "xtf":
        with pytest.raises(SystemExit) as done:
            main(words[1:])
        assert done.value.code == 0, line
    elif words[0] in SHELL:
        bash = line.replace("python ", f"{shlex.quote(sys.executable)} ", 1) if words[0] == "python" else line
        if words[1].endswith("exports/trl/train.py") and not torch.cuda.is_available():
            bash += " --use_cpu true"  # TRL asks for it where there is no GPU
        ended = subprocess.run(["bash", "-c", bash], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{line}\n{ended.stderr}"


def test_what_is_left_out_is_still_written_somewhere() -> None:
    everything = [line for path in DOCUMENTS for line in lines(path)]
    for known in READ_ONLY:
        assert any(line.startswith(known) for line in everything), f"{known}: no document has it any more"


def test_an_unknown_setting_would_be_found() -> None:
    with pytest.raises(ConfigError):
        parse_config({"model": {"path": "m"}, "data": {"path": "d"}}, "x", ["data.limmit=3"])

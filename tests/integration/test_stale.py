"""Whatever decides a score is in its fingerprint: after any change, a folder holds what a fresh one would."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import xtf
from tests.conftest import tiny_config, write_jsonl
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.config import DataConfig, ModelConfig, ScoringConfig
from xtf.errors import RunError

SCORER = '''
import numpy as np
import torch
from pathlib import Path
import xtf
from scorer_words.scale import factor


class Params(xtf.AttributeParams):
    folder: str = ""
    weight: float = 1.0


@xtf.register
class FittedLoss(xtf.Attribute[Params]):
    """Loss, scaled by what the examples, a folder and a helper module say."""

    name = "fitted_loss"
    Params = Params

    def requires(self):
        return {xtf.LogProb()}

    def fit(self, context):
        tokens = sum(len(example) for example in context.examples)
        words = sum(len(text) for text in context.texts(self.params.folder + "/words.jsonl"))
        self._scale = factor() * self.params.weight * (tokens + words) * (1 + context.seed)

    def state(self):
        return {"scale": torch.tensor([float(self._scale)])}

    def load_state(self, state):
        self._scale = float(state["scale"][0])

    def score(self, signals):
        return -signals[xtf.LogProb()] * self._scale
'''

Config = dict[str, Any]


class Setting:
    """A run and everything that it rests on, in one folder."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.package = folder / "scorer_words"
        self.package.mkdir(parents=True)
        (self.package / "__init__.py").write_text("")
        (self.package / "main.py").write_text(SCORER)
        (self.package / "scale.py").write_text("def factor():\n    return 1.0\n")
        (folder / "words").mkdir()
        write_jsonl(folder / "words" / "words.jsonl", [{"q": "a", "a": "b"}])
        shutil.copytree(model, folder / "model")
        self.config: Config = tiny_config(
            folder,
            folder / "model",
            [{"q": f"What is {i}?", "a": f"It is {i * i} and {i + 1}."} for i in range(8)],
            attributes={"fitted_loss": {"folder": str(folder / "words")}},
            scoring={"fit_examples": 5, "examples_per_shard": 3, "allow_degenerate": True},
        )
        self.config["data"]["columns"] = {"prompt": "q", "response": "a"}
        self.config["model"]["dtype"] = "float32"

    def scores(self, output: str) -> list[NDArray[np.float32]]:
        """Score as a process would that starts now."""
        for name in [name for name in sys.modules if name.startswith("scorer_words")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        importlib.import_module("scorer_words.main")
        run = xtf.score({**self.config, "output": str(self.folder / output)})
        return [shard.scores["fitted_loss"] for shard in run.shards()]


@pytest.fixture
def setting(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    made = Setting(tmp_path / "here", tiny_folder)
    monkeypatch.syspath_prepend(str(made.folder))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    from xtf.attribute import registry

    monkeypatch.setattr(registry, "_registered", {})
    yield made
    for name in [name for name in sys.modules if name.startswith("scorer_words")]:
        del sys.modules[name]


def _set(key: str, value: Any) -> Callable[[Setting], None]:
    def change(setting: Setting) -> None:
        section, _, name = key.rpartition(".")
        place = setting.config
        for part in section.split(".") if section else []:
            place = place.setdefault(part, {})
        place[name] = value

    return change


def _write(file: str, text: str) -> Callable[[Setting], None]:
    def change(setting: Setting) -> None:
        (setting.folder / file).write_text(text)

    return change


def _other_weights(setting: Setting) -> None:
    tiny_model("gpt2").save_pretrained(str(setting.folder / "model"))


def _other_tokenizer(setting: Setting) -> None:
    (setting.folder / "tokenizer").mkdir()
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = str(tokenizer.chat_template) + "\n"
    tokenizer.save_pretrained(str(setting.folder / "tokenizer"))
    setting.config["model"]["tokenizer"] = str(setting.folder / "tokenizer")


def _drop_long_rows(setting: Setting) -> None:
    setting.config["data"] |= {"max_length": 44, "too_long": "drop"}


CHANGES: dict[str, Callable[[Setting], None]] = {
    "scoring.fit_examples": _set("scoring.fit_examples", 2),
    "scoring.tokens_per_batch": _set("scoring.tokens_per_batch", 30),
    "scoring.examples_per_shard": _set("scoring.examples_per_shard", 2),
    "scoring.allow_degenerate": _set("scoring.allow_degenerate", False),
    "a parameter": _set("attributes.fitted_loss.weight", 2.0),
    "a helper module": _write("scorer_words/scale.py", "def factor():\n    return 3.0\n"),
    "the scorer's own module": _write("scorer_words/main.py", SCORER.replace("-signals", "-2 * signals")),
    "a folder named in parameters": _write("words/words.jsonl", '{"q": "a", "a": "many more words"}\n'),
    "seed": _set("seed", 3),
    "the data": _write("data.jsonl", '{"q": "What?", "a": "That."}\n{"q": "Who?", "a": "She did."}\n'),
    "data.max_length": _set("data.max_length", 40),
    "data.too_long": _drop_long_rows,
    "data.limit": _set("data.limit", 4),
    "data.columns": _set("data.columns", {"prompt": "a", "response": "q"}),
    "data.roles": _set("data.roles", {"narrator": "user"}),
    "data.template_args": _set("data.template_args", {"mood": "glad"}),
    "data.template_adds": _set("data.template_adds", "target"),
    "data.system": _set("data.system", "drop"),
    "data.learn": _set("data.learn", "last_turn"),
    "data.never_learn": _set("data.never_learn", ["That"]),
    "data.always_learn": _set("data.always_learn", ["That"]),
    "data.only": _set("data.only", {"q": "!= What?"}),
    "data.prompt_weight": _set("data.prompt_weight", 0.5),
    "data.preference": _set("data.preference", "refuse"),
    "model.path": _other_weights,
    "model.tokenizer": _other_tokenizer,
    "model.dtype": _set("model.dtype", "bfloat16"),
    "model.quantization": _set("model.quantization", "8bit"),
}

REFUSED = {change for change in CHANGES if change.startswith(("data.", "model.", "the data", "seed"))} | {
    "scoring.examples_per_shard"
}
"""Changes under which nothing of the run could stay."""

NO_INFLUENCE = {
    "data.on_error": "which rows are used shows in the content of the data",
    "data.path": "the content counts, not the name",
    "data.split": "of folders and hub data sets; its rows are the content",
    "model.revision": "of the hub; the commit is in the fingerprint",
    "model.device_map": "the same scores, up to rounding",
    "model.max_memory": "where layers lie",
    "model.device": "the same scores, up to rounding",
    "model.trust_remote_code": "the model's code lies in its folder",
}


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_changed_run_is_made_again_or_refused(setting: Setting, change: str) -> None:
    setting.scores("run")
    CHANGES[change](setting)
    fresh = setting.scores("fresh")
    if change in REFUSED:
        with pytest.raises(RunError, match="made from other inputs; changed"):
            setting.scores("run")
        return
    again = setting.scores("run")
    assert len(again) == len(fresh)
    for left, right in zip(again, fresh, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5)  # batches of another size round otherwise


def test_every_setting_of_scoring_is_tried() -> None:
    for section, model in (("scoring", ScoringConfig), ("data", DataConfig), ("model", ModelConfig)):
        for field in model.model_fields:
            assert f"{section}.{field}" in {*CHANGES, *NO_INFLUENCE}, f"{section}.{field}: does it decide a score?"


def test_xtfs_own_code_counts(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade: the scores of the former code are not kept."""
    setting.scores("run")
    monkeypatch.setattr("xtf.steps.fingerprints.xtf_source", lambda: "another version")
    written = (setting.folder / "run" / "scores" / "part-00000.parquet").stat().st_mtime_ns
    setting.scores("run")
    assert (setting.folder / "run" / "scores" / "part-00000.parquet").stat().st_mtime_ns > written


def test_nothing_is_scored_twice_without_a_change(setting: Setting) -> None:
    setting.scores("run")
    files = sorted((setting.folder / "run" / "scores").glob("*.parquet"))
    before = [file.stat().st_mtime_ns for file in files]
    setting.scores("run")
    assert [file.stat().st_mtime_ns for file in files] == before
    assert len(files) == 3

"""Every documented argument of the public calls changes something; a call that ignored it would be noticed."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xtf
import xtf.api
from tests.conftest import chat_row, chat_rows, tiny_config, write_config, write_jsonl
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.attribute import registry
from xtf.errors import ConfigError, RunError, XTFError

TRAINING = {"epochs": 1, "batch_size": 8, "lora": {"r": 2, "alpha": 4}, "arms": ["full"]}
CUTS = {"random": {"kind": "bottom_share", "share": 0.3}}


@dataclass
class Setting:
    """A folder of its own for each call, and a run that all may read."""

    folder: Path
    model: Path
    run: Any

    def config(self, **more: Any) -> dict[str, Any]:
        settings = {"attributes": {"random": {}}, "thresholds": CUTS, **more}
        return tiny_config(self.folder, self.model, **settings)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Any:
    folder = tmp_path_factory.mktemp("labelled")
    rows = write_jsonl(folder / "clean.jsonl", chat_rows(12))
    xtf.plant(rows, folder / "noisy.jsonl", rate=0.3, kinds=["number"])
    config = tiny_config(folder, tiny_folder, attributes={"random": {}}, thresholds=CUTS)
    config["data"] = {"path": str(folder / "noisy.jsonl")}
    return xtf.label(xtf.score(config))


@pytest.fixture
def setting(tmp_path: Path, tiny_folder: Path, labelled: Any) -> Setting:
    return Setting(tmp_path, tiny_folder, labelled)


def scores(run: Any) -> np.ndarray[Any, Any]:
    name = next(iter(run.config.attributes))
    return np.concatenate([shard.scores[name][shard.is_response] for shard in run.shards()])


def differ(left: Any, right: Any) -> bool:
    one, two = scores(left), scores(right)
    return one.shape != two.shape or not np.array_equal(one, two)


def truth_of(run: Any) -> Path:
    return Path(run.path).parent / "noisy.truth.jsonl"


def other_model() -> Any:
    return tiny_model(seed=9)


def by_novelty(s: Setting, **objects: Any) -> Any:
    return xtf.score(s.config(attributes={"knowledge_novelty": {}}, thresholds={}), overwrite=True, **objects)


def score_model(s: Setting) -> None:
    before = scores(by_novelty(s, tokenizer=tiny_tokenizer()))
    after = scores(by_novelty(s, model=other_model(), tokenizer=tiny_tokenizer()))
    assert not np.array_equal(before, after)


def score_tokenizer(s: Setting) -> None:
    changed = tiny_tokenizer()
    changed.chat_template = str(changed.chat_template).replace("<|im_start|>", "##")
    assert len(scores(xtf.score(s.config(), tokenizer=changed))) > 0
    with pytest.raises(RunError, match="tokenizer"):
        xtf.score(s.config())


def score_data(s: Setting) -> None:
    assert list(xtf.score(s.config(), data=chat_rows(3)).example_ids()) == ["sum-1", "sum-2", "sum-3"]


def score_attributes(s: Setting) -> None:
    run = xtf.score(s.config(), attributes={"mine": registry.build("random", {"seed": 4})})
    assert run.scored == ["mine"]


def score_overwrite(s: Setting) -> None:
    xtf.score(s.config(seed=1))
    with pytest.raises(RunError, match="--overwrite"):
        xtf.score(s.config(seed=2))
    assert xtf.score(s.config(seed=2), overwrite=True).config.seed == 2


def score_shard(s: Setting) -> None:
    run = xtf.score(s.config(scoring={"examples_per_shard": 4}), shard="2/3")
    assert run.folder.indices("scores") == [1]


def score_engine(s: Setting) -> None:
    with pytest.raises(ConfigError, match="not with engine='ray'"):
        xtf.score(s.config(), engine=xtf.RayEngine(), shard="1/2")
    unknown: Any = "spark"
    with pytest.raises(ConfigError, match="expected plain, ray"):
        xtf.score(s.config(), engine=unknown)


def run_overwrite(s: Setting) -> None:
    xtf.run(s.config(seed=1))
    assert xtf.run(s.config(seed=2), overwrite=True).config.seed == 2


def run_objects(s: Setting) -> None:
    run = xtf.run(s.config(), data=chat_rows(3), attributes={"mine": registry.build("random", {})})
    assert (len(list(run.example_ids())), run.scored) == (3, ["mine"])


DICE = ["attributes={random: {}}", "thresholds.random={kind: bottom_share, share: 0.3}"]


def found_in(s: Setting, *arguments: Any, overrides: list[str] | None = None, **objects: Any) -> Any:
    return xtf.find(*arguments, overrides=[*DICE, f"output={s.folder / 'found'}", *(overrides or [])], **objects)


def find_data(s: Setting) -> None:
    assert [one.example_id for one in found_in(s, chat_rows(1), str(s.model))] == ["sum-1"]


def find_model(s: Setting) -> None:
    assert found_in(s, chat_rows(2), s.model).run.config.model.path == str(s.model)


def find_tokenizer(s: Setting) -> None:
    found = found_in(s, chat_rows(2), other_model(), tokenizer=tiny_tokenizer())
    assert found.run.config.model.path != str(s.model)


def find_overrides(s: Setting) -> None:
    found = found_in(s, chat_rows(4), s.model, overrides=["thresholds.random.share=1.0", "data.limit=2"])
    assert [one.share_useless > 0.7 for one in found] == [True, True]


def label_overrides(s: Setting) -> None:
    run = xtf.score(s.config())
    few = xtf.label(run).manifest["counts"]["noise_tokens"]
    assert xtf.label(run, ["thresholds.random.share=0.8"]).manifest["counts"]["noise_tokens"] > few


def label_verdicts(s: Setting) -> None:
    run = xtf.label(xtf.score(s.config()))
    rows = [row for row in run.tokens().to_arrow().to_pylist() if row["is_response"] and not row["is_protected"]]
    one = next(row for row in rows if not row["masked"])
    place = {"example": one["example_id"], "start": one["position"], "token_ids": [one["token_id"]]}
    given = {"xtf_verdicts": 1, "verdicts": [{"grain": "token", "decided": "mask", **place}]}
    (s.folder / "verdicts.json").write_text(json.dumps(given))
    before = run.manifest["counts"]["noise_tokens"]
    assert xtf.label(run, verdicts=s.folder / "verdicts.json").manifest["counts"]["noise_tokens"] == before + 1


def train(s: Setting, overrides: list[str] | None = None, **objects: Any) -> dict[str, Any]:
    run = xtf.label(xtf.score(s.config(training=TRAINING)))
    return xtf.train(run, overrides or [], **objects)


def train_overrides(s: Setting) -> None:
    assert train(s, ["training.seeds=[3]"])["arms"][0]["seeds"] == [3]


def train_model(s: Setting) -> None:
    before = train(s)["arms"][0]["train_losses"]
    assert train(s, model=other_model(), tokenizer=tiny_tokenizer())["arms"][0]["train_losses"] != before


def train_tokenizer(s: Setting) -> None:
    changed = tiny_tokenizer()
    changed.chat_template = "{# mine #}" + str(changed.chat_template)
    train(s, tokenizer=changed)
    kept = "".join(path.read_text() for path in (s.folder / "run/model/full-seed0/model").glob("*emplate*"))
    assert "{# mine #}" in kept


def evaluate_overrides(s: Setting) -> None:
    held_out = write_jsonl(s.folder / "held-out.jsonl", chat_rows(16)[12:])
    evaluation = {"path": str(held_out), "exact_match": False}
    run = xtf.run(s.config(training=TRAINING, evaluation=evaluation))
    assert xtf.evaluate(run, ["evaluation.limit=2"])["held_out"]["examples"] == 2


def export_output(s: Setting) -> None:
    assert xtf.export(s.run, output=s.folder / "there")[0].parent == s.folder / "there"


def export_exporter(s: Setting) -> None:
    assert {file.suffix for file in xtf.export(s.run, "segments", s.folder / "there")} == {".jsonl"}


def export_drop_worse_than(s: Setting) -> None:
    everything = xtf.export(s.run, output=s.folder / "all")
    assert xtf.export(s.run, output=s.folder / "few", drop_worse_than=0.3).export.rows < everything.export.rows


def export_tokenizer(s: Setting) -> None:
    changed = tiny_tokenizer()
    changed.chat_template = str(changed.chat_template).replace("<|im_start|>", "##")
    made = xtf.label(xtf.score(s.config(), tokenizer=changed))
    with pytest.raises(XTFError):
        xtf.export(made, "spans", s.folder / "refused")
    assert len(xtf.export(made, "spans", s.folder / "there", tokenizer=changed)) == 1


def export_data(s: Setting) -> None:
    rows = [chat_row(f"mine-{i}", "What?", f"That, {i} and {i + 1}.") for i in range(4)]
    made = xtf.label(xtf.score(s.config(), data=rows))
    with pytest.raises(XTFError):
        xtf.export(made, "spans", s.folder / "refused")
    assert len(xtf.export(made, "spans", s.folder / "there", data=rows)) == 1


def export_push(s: Setting) -> None:
    with pytest.raises(ConfigError, match="hub"):
        xtf.export(s.run, "labels", s.folder / "there", push="me/data")


def spans_of(s: Setting) -> Path:
    xtf.export(s.run, "spans", s.folder / "spans")
    return s.folder / "spans"


def apply_spans_output(s: Setting) -> None:
    xtf.apply_spans(spans_of(s), str(s.model), s.folder / "there")
    assert list((s.folder / "there").glob("*.parquet"))


def apply_spans_overrides(s: Setting) -> None:
    spans = spans_of(s)
    everything = xtf.apply_spans(spans, str(s.model))
    assert xtf.apply_spans(spans, str(s.model), overrides=["data.limit=2"]).rows < everything.rows


def apply_spans_model(s: Setting) -> None:
    with pytest.raises(XTFError, match="nowhere"):
        xtf.apply_spans(spans_of(s), str(s.folder / "nowhere"))


def apply_spans_tokenizer(s: Setting) -> None:
    assert xtf.apply_spans(spans_of(s), str(s.folder / "nowhere"), tokenizer=tiny_tokenizer()).rows > 0


def study(s: Setting) -> dict[str, Any]:
    held_out = write_jsonl(s.folder / "held-out.jsonl", chat_rows(16)[12:])
    evaluation = {"path": str(held_out), "exact_match": False}
    base = write_config(s.folder / "base.yaml", s.config(training=TRAINING, evaluation=evaluation))
    return {"output": str(s.folder / "study"), "config": str(base), "arms": {"mine": {"attributes": ["random"]}}}


def study_overrides(s: Setting) -> None:
    found = xtf.study(study(s), ["seeds=[3]", "controls=[random]"])
    assert found["study"]["seeds"] == [3]


def detect_truth(s: Setting) -> None:
    rows = [json.loads(line) for line in truth_of(s.run).read_text(encoding="utf-8").splitlines()]
    few = write_jsonl(s.folder / "few.jsonl", rows[:6])
    assert xtf.detect(s.run, truth_of(s.run))["tokens"] > xtf.detect(s.run, few)["tokens"]


def detect_grain(s: Setting) -> None:
    assert "spans" not in xtf.detect(s.run, truth_of(s.run))
    assert xtf.detect(s.run, truth_of(s.run), "span") != xtf.detect(s.run, truth_of(s.run))


ROWS = chat_rows(12)


def planted(s: Setting, name: str = "noisy.jsonl", **more: Any) -> str:
    data = write_jsonl(s.folder / "rows.jsonl", ROWS)
    xtf.plant(data, s.folder / name, **more)
    return (s.folder / name).read_text(encoding="utf-8")


def plant_model(s: Setting) -> None:
    data, output = write_jsonl(s.folder / "rows.jsonl", ROWS), s.folder / "n.jsonl"
    assert xtf.plant(data, output).wrong_share != xtf.plant(data, output, model=str(s.model)).wrong_share


def plant_columns(s: Setting) -> None:
    rows = [{"ask": "What is 3?", "tell": f"It is {i} and {i}."} for i in range(20, 30)]
    data = write_jsonl(s.folder / "odd.jsonl", rows)
    done = xtf.plant(data, s.folder / "n.jsonl", columns={"prompt": "ask", "response": "tell"})
    assert done.examples == 10


def plant_data(s: Setting) -> None:
    assert xtf.plant(write_jsonl(s.folder / "few.jsonl", ROWS[:4]), s.folder / "n.jsonl").examples == 4


def plant_output(s: Setting) -> None:
    planted(s, "elsewhere.jsonl")
    assert (s.folder / "elsewhere.truth.jsonl").exists()


def looked_at(_: Setting, *arguments: Any) -> Any:
    return xtf.api.inspected_config(*arguments)


def inspected_sources(setting: Setting) -> None:
    several = looked_at(setting, ["a.jsonl", Path("b.jsonl")], "m").data
    assert (several.paths, several.max_length) == (("a.jsonl", "b.jsonl"), 1 << 30)
    own = looked_at(setting, [setting.run.path])
    assert own.data.paths == (str(setting.run.path / "labels"),)
    assert own.model.path == setting.run.config.model.path
    with pytest.raises(ConfigError, match="name the model whose tokenizer reads it"):
        looked_at(setting, ["a.jsonl"])


def inspect_config(s: Setting) -> None:
    config = s.config()
    assert xtf.inspect({**config, "data": {**config["data"], "limit": 2}}).report.examples == 2


def inspect_data(s: Setting) -> None:
    seen = xtf.inspect(s.config(), data=[chat_row("mine", "What?", "That.")])
    assert [one.example_id for one in seen.examples] == ["mine"]


def inspect_tokenizer(s: Setting) -> None:
    changed = tiny_tokenizer()
    changed.chat_template = str(changed.chat_template).replace("<|im_start|>", "##")
    assert xtf.inspect(s.config(), tokenizer=changed).tokens != xtf.inspect(s.config()).tokens


def inspect_whole(s: Setting) -> None:
    rows = [chat_row(f"r{i}", "What?", "That.") for i in range(1005)]
    assert xtf.inspect(s.config(), data=rows, whole=True).report.examples == 1005
    assert xtf.inspect(s.config(), data=rows).report.examples < 1005


def check(assertion: Callable[[Setting], bool]) -> Callable[[Setting], None]:
    def run(s: Setting) -> None:
        assert assertion(s)

    return run


def estimate_config(s: Setting) -> None:
    config = s.config()
    assert xtf.estimate({**config, "data": {**config["data"], "limit": 2}}, throughput=1.0)["data"]["examples"] == 2


def estimate_throughput(s: Setting) -> None:
    config = s.config(attributes={"entropy": {}}, thresholds={})
    slow, fast = (xtf.estimate(config, throughput=pace)["scoring"]["seconds"] for pace in (1.0, 10.0))
    assert slow == pytest.approx(10 * fast)


CASES: dict[str, Callable[[Setting], None]] = {
    "open_run.path": check(lambda s: xtf.open_run(s.run.path).path == s.run.path),
    "load_config.source": check(lambda s: xtf.load_config(s.config(seed=5)).seed == 5),
    "load_config.overrides": check(lambda s: xtf.load_config(s.config(), ["seed=6"]).seed == 6),
    "load_config.scorers": check(
        lambda s: list(xtf.load_config(s.config(), scorers={"b": registry.build("random", {})}).attributes) == ["b"]
    ),
    "run.config": check(lambda s: xtf.run(s.config(seed=3)).config.seed == 3),
    "run.overwrite": run_overwrite,
    "run.objects": run_objects,
    "score.config": check(lambda s: xtf.score(s.config(seed=3)).config.seed == 3),
    "score.model": score_model,
    "score.tokenizer": score_tokenizer,
    "score.data": score_data,
    "score.attributes": score_attributes,
    "score.overwrite": score_overwrite,
    "score.shard": score_shard,
    "score.engine": score_engine,
    "find.data": find_data,
    "find.model": find_model,
    "find.tokenizer": find_tokenizer,
    "find.overrides": find_overrides,
    "label.run": check(lambda s: xtf.label(xtf.score(s.config()).path).path == s.folder / "run"),
    "label.overrides": label_overrides,
    "label.verdicts": label_verdicts,
    "train.run": check(lambda s: bool(train(s)["arms"])),
    "train.overrides": train_overrides,
    "train.model": train_model,
    "train.tokenizer": train_tokenizer,
    "evaluate.run": evaluate_overrides,
    "evaluate.overrides": evaluate_overrides,
    "export.run": check(lambda s: len(xtf.export(s.run.path, output=s.folder / "out")) == 1),
    "export.exporter": export_exporter,
    "export.output": export_output,
    "export.drop_worse_than": export_drop_worse_than,
    "export.tokenizer": export_tokenizer,
    "export.data": export_data,
    "export.push": export_push,
    "apply_spans.spans": check(lambda s: xtf.apply_spans(spans_of(s), str(s.model)).rows > 0),
    "apply_spans.model": apply_spans_model,
    "apply_spans.output": apply_spans_output,
    "apply_spans.overrides": apply_spans_overrides,
    "apply_spans.tokenizer": apply_spans_tokenizer,
    "load_study.source": check(lambda s: list(xtf.api.load_study(study(s)).arms) == ["mine"]),
    "load_study.overrides": check(lambda s: xtf.api.load_study(study(s), ["seeds=[3]"]).seeds == (3,)),
    "plan_study.source": check(lambda s: bool(xtf.api.plan_study(study(s)).trainings)),
    "plan_study.overrides": check(
        lambda s: (
            len(xtf.api.plan_study(study(s), ["seeds=[3]"]).trainings) < len(xtf.api.plan_study(study(s)).trainings)
        )
    ),
    "study.source": study_overrides,
    "study.overrides": study_overrides,
    "detect.run": check(lambda s: xtf.detect(s.run.path, truth_of(s.run))["tokens"] > 0),
    "detect.truth": detect_truth,
    "detect.grain": detect_grain,
    "plant.data": plant_data,
    "plant.output": plant_output,
    "plant.kinds": check(lambda s: planted(s, kinds=["number"]) != planted(s, kinds=["spelling"])),
    "plant.rate": check(lambda s: planted(s, rate=0.05) != planted(s, rate=0.5)),
    "plant.share": check(lambda s: planted(s, share=0.2) != planted(s)),
    "plant.seed": check(lambda s: planted(s, seed=1) != planted(s, seed=2)),
    "plant.model": plant_model,
    "plant.columns": plant_columns,
    "inspected_config.sources": inspected_sources,
    "inspected_config.model": check(lambda s: looked_at(s, ["a.jsonl"], "other").model.path == "other"),
    "inspected_config.overrides": check(lambda s: looked_at(s, ["a.jsonl"], "m", ["data.limit=3"]).data.limit == 3),
    "estimate.config": estimate_config,
    "estimate.throughput": estimate_throughput,
    "inspect.config": inspect_config,
    "inspect.examples": check(lambda s: len(xtf.inspect(s.config(), 2).examples) == 2),
    "inspect.tokenizer": inspect_tokenizer,
    "inspect.data": inspect_data,
    "inspect.whole": inspect_whole,
}


@pytest.mark.parametrize("argument", CASES)
def test_an_argument_is_heeded(argument: str, setting: Setting) -> None:
    CASES[argument](setting)


def test_every_argument_of_every_public_call_is_in_the_table() -> None:
    calls = {
        name: call
        for name, call in vars(xtf.api).items()
        if inspect.isfunction(call) and call.__module__.startswith("xtf.api.") and not name.startswith("_")
    }
    wanted = {f"{name}.{argument}" for name, call in calls.items() for argument in inspect.signature(call).parameters}
    assert wanted == set(CASES)

"""One setting made ready: its rows with their mistakes, scores, labels, held-out rows, and what judges each arm."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xtf.config import DataConfig, RunConfig, TrainingConfig, parse_config
from xtf.data import DataReport, fingerprint, read_examples
from xtf.errors import RunError, XTFError
from xtf.evaluation import HeldOut
from xtf.evaluation.answers import task_of
from xtf.evaluation.judging import Judges, choose_judges
from xtf.files import digest, file_digest, read_sealed_json, write_sealed_json, write_text
from xtf.labelling import LabelRules, judge
from xtf.model import LoadedModel, model_fingerprint
from xtf.noise import Planting, choose_kinds
from xtf.noise.texts import read_texts
from xtf.noise.truth import read_truth
from xtf.progress import busy
from xtf.runs import RunReader
from xtf.steps.labelling import label_run
from xtf.steps.labellings import arm_rules, labellings
from xtf.steps.planting import plant_file, truth_path
from xtf.steps.preparing import Given
from xtf.steps.scoring import score_run
from xtf.steps.training import held_out_examples
from xtf.studies.arithmetic import arithmetic_rows
from xtf.studies.planning import Setting
from xtf.tokens import BoolArray, FloatArray, TokenizedExample
from xtf.training import Labelling, resolve_auto


@dataclass(frozen=True)
class Bench:
    """What all trainings of a setting share.

    Attributes:
        setting: The setting.
        loaded: The base, unchanged by what is trained.
        examples: What is trained on, in order.
        labelled: Arm to what it masks.
        held_out: Clean rows, none of them a training row.
        retention: Unrelated text, of which every token counts.
        learnt: Arm to what each response token of each held-out row weighs when the arm's labelling is applied to it.
        failed: Arm to why its labels could not be made.
        development: ``(held-out rows,)`` bool: those on which candidates are chosen; the others judge.
    """

    setting: Setting
    loaded: LoadedModel
    examples: Sequence[TokenizedExample]
    labelled: Mapping[str, Labelling]
    held_out: HeldOut
    retention: Sequence[TokenizedExample]
    learnt: Mapping[str, Sequence[FloatArray]]
    failed: Mapping[str, str]
    development: BoolArray
    run: RunReader = field(repr=False)

    @cached_property
    def training(self) -> TrainingConfig:
        """The training section without ``auto``."""
        return resolve_auto(self.setting.training, self.loaded.model)

    @cached_property
    def judges(self) -> Judges | None:
        """The metrics of the generated answers to the judging rows; None if none are generated.

        Raises:
            ConfigError: a metric that is not there, or that can judge none of the rows.
        """
        evaluation = self.setting.config.evaluation
        if not evaluation.exact_match:
            return None
        rows = [one for one, kept in zip(self.held_out.examples, ~self.development, strict=True) if kept]
        asked = rows[: evaluation.exact_match_limit]
        tasks = [task_of(one, self.held_out.rows.get(one.example_id, {}), self.loaded.tokenizer) for one in asked]
        return choose_judges(tasks, evaluation.metrics)

    def curve_labelling(self, scores: Sequence[FloatArray], share: float, largest: bool = False) -> Labelling:
        """Mask a share of all unprotected response tokens: those with the smallest scores, or the largest.

        Args:
            scores: ``(seq,)`` for each example.
            share: Above 0, below 1; rounded to whole tokens. Of equal scores the earlier ones go first.
            largest: Mask the largest instead.
        """
        judged = [one.is_response & ~one.is_protected for one in self.examples]
        values = np.concatenate([score[here] for score, here in zip(scores, judged, strict=True)])
        order = np.argsort(-values if largest else values, kind="stable")
        masked = np.zeros(len(values), np.bool_)
        masked[order[: round(share * len(values))]] = True
        noise = []
        for here, own in zip(judged, np.split(masked, np.cumsum([int(j.sum()) for j in judged])[:-1]), strict=True):
            whole = np.zeros(len(here), np.bool_)
            whole[here] = own
            noise.append(whole)
        return Labelling(noise)

    def scores(self, name: str) -> list[FloatArray]:
        """``(seq,)`` for each example that is trained on: its scores under an attribute."""
        found: list[FloatArray] = []
        for shard in self.run.shards([name]):
            found += [shard.example(index).scores[name] for index in range(len(shard))]
        return found[: len(self.examples)]


def make_data(setting: Setting) -> None:
    """Write the rows of a setting where its configuration looks for them, unless they are there.

    Raises:
        DataError: the rows cannot be read.
        ConfigError: kinds of noise that are not there.
    """
    folder, spec = setting.folder, setting.spec
    if spec.arithmetic is not None:
        asked = spec.arithmetic
        rows = arithmetic_rows(asked.rows + asked.held_out, asked.seed)
        _write_rows(folder / "arithmetic.jsonl", rows[: asked.rows])
        _write_rows(folder / "arithmetic-heldout.jsonl", rows[asked.rows :])
    if spec.plant is None:
        return
    output, made = folder / "planted.jsonl", folder / "planted.json"
    asked_for = {
        "data": fingerprint(setting.source.data),
        "plant": spec.plant.model_dump(mode="json"),
        "model": model_fingerprint(setting.source.model),
    }
    if _is_made(made, asked_for, output):
        return
    planting = Planting(choose_kinds(spec.plant.kinds or None), spec.plant.rate, spec.plant.seed)
    planted = plant_file(setting.source.data, output, planting, spec.plant.share, setting.source.model)
    counts = {"rows": planted.examples, "noisy": planted.noisy, "wrong_share": planted.wrong_share}
    content = {"planted": file_digest(output), "truth": file_digest(truth_path(output))}
    write_sealed_json(made, {"asked": asked_for, "counts": counts, **content, "spans": dict(planted.spans)})


def planted_counts(setting: Setting) -> dict[str, object] | None:
    """What planting has counted; None where nothing is planted."""
    if setting.spec.plant is None:
        return None
    made = read_sealed_json(setting.folder / "planted.json")
    return {**made["counts"], "spans": made["spans"]}


def _is_made(made: Path, asked: Mapping[str, object], output: Path) -> bool:
    try:
        before = read_sealed_json(made)
        there = file_digest(output), file_digest(truth_path(output))
    except (RunError, OSError):
        return False
    return bool(before["asked"] == asked and there == (before["planted"], before["truth"]))


def _write_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def make_bench(setting: Setting, loaded: LoadedModel, development: float, retention: str | None) -> Bench:
    """Score and label a setting's rows, as far as that is not done, and read what judges its arms.

    Args:
        setting: Its rows are there.
        loaded: The base model.
        development: Share of held-out rows for choosing among candidates.
        retention: Unrelated text, as ``data.path``.

    Raises:
        XTFError: of the kind that names the mistake: rows, scores or held-out rows cannot be had.
    """
    config = setting.config
    run = label_run(score_run(config, Given()), config)
    rules, failed = _rules(run, config)
    truth = read_truth(config.truth) if config.truth is not None else None
    examples, labelled = labellings(run, rules, setting.training.max_examples, truth)
    held_out = held_out_examples(config, loaded.tokenizer, [*examples, *_as_they_were(setting, loaded)])
    learnt: Mapping[str, Sequence[FloatArray]] = {}
    if rules:
        learnt = _learnt(setting, rules, held_out.examples)
    return Bench(
        setting,
        loaded,
        examples,
        labelled,
        held_out,
        _retention(setting, loaded, retention),
        learnt,
        failed,
        development_part(len(held_out.examples), development),
        run,
    )


def development_part(rows: int, share: float) -> BoolArray:
    """``(rows,)`` bool: which held-out rows are for choosing; always the same ones, spread over the file."""
    part = np.zeros(rows, np.bool_)
    part[np.random.default_rng(0).permutation(rows)[: round(share * rows)]] = True
    return part


def _rules(run: RunReader, config: RunConfig) -> tuple[dict[str, LabelRules], dict[str, str]]:
    rules: dict[str, LabelRules] = {}
    failed: dict[str, str] = {}
    for name in config.arms:
        try:
            rules[name] = arm_rules(run, config, name)
        except XTFError as error:
            failed[name] = str(error)
    return rules, failed


def _as_they_were(setting: Setting, loaded: LoadedModel) -> Iterator[TokenizedExample]:
    """The training rows before anything was planted: a held-out row must be none of them either."""
    if setting.spec.plant is not None:
        with busy(f"Reading {setting.source.data.place}"):
            yield from read_examples(setting.source.data, loaded.tokenizer, DataReport())


def _learnt(
    setting: Setting, rules: Mapping[str, LabelRules], held_out: Sequence[TokenizedExample]
) -> dict[str, list[FloatArray]]:
    """What each arm's labelling makes of the held-out rows, which are scored as a run of their own.

    Scorers are fitted to the held-out rows, so that no training label depends on them; cuts are those of the training.
    """
    config = setting.config
    raw = config.model_dump(mode="json")
    part = config.evaluation.model_dump(mode="json", include={"path", "split", "limit"})
    raw |= {"output": str(setting.folder / "held-out"), "truth": None, "data": {**raw["data"], **part}}
    raw["scoring"] = {**raw["scoring"], "allow_degenerate": True}
    run = score_run(parse_config(raw, "held-out rows"), Given())
    found: dict[str, dict[str, FloatArray]] = {name: {} for name in rules}
    for shard in run.shards():
        for name, rule in rules.items():
            labels = judge(rule, shard)
            kept = np.where(labels.noise, np.float32(0.0), shard.weights)
            weights = np.maximum(labels.weights, 0.0) if setting.objectives[name] == "weight" else kept
            for index, example_id in enumerate(shard.example_ids):
                here = shard.tokens_of(index, index + 1)
                found[name][example_id] = weights[here][shard.is_response[here]]
    return {name: [rows[example.example_id] for example in held_out] for name, rows in found.items()}


def _retention(setting: Setting, loaded: LoadedModel, path: str | None) -> list[TokenizedExample]:
    """Unrelated text; by default passages that nothing plants."""
    if path is None:
        place = setting.folder / "unrelated.jsonl"
        _write_rows(place, [{"text": text} for text in read_texts("fit").passages])
        source = DataConfig(path=str(place))
    else:
        source = setting.config.data.model_copy(update={"path": path, "limit": None, "split": "train"})
    with busy(f"Reading {source.place}"):
        return list(read_examples(source, loaded.tokenizer, DataReport()))


_NOT_READ = {"path", "split", "limit", "tasks", "tasks_folder", "tasks_fewshot", "tasks_limit"}
"""Settings of evaluation that stand elsewhere, or that a study does not read."""


def bench_digest(bench: Bench) -> str:
    """Stands for everything that a trained arm of this bench is judged by."""
    from xtf.evaluation.held_out_rows import digest_of

    evaluation = bench.setting.config.evaluation.model_dump(mode="json", exclude=_NOT_READ)
    parts: NDArray[np.bool_] = bench.development
    return digest(bench.held_out.digest, digest_of(bench.retention), evaluation, parts.tolist())

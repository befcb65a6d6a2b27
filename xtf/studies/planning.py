"""From a study's configuration to the configuration of each setting and the list of trainings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xtf.config import (
    ArmConfig,
    RunConfig,
    StudyConfig,
    TrainingConfig,
    parse_config,
    problems_of_rates,
    read_yaml,
)
from xtf.config.study import SettingConfig, StudyArm
from xtf.display import counted, html_box, html_table
from xtf.errors import ConfigError, XTFError
from xtf.steps.defaults import completed, problems_of_attributes

Objective = Literal["mask", "weight"]
Role = Literal["base", "full", "oracle", "method", "random", "inverted", "candidate", "worst", "best", "chance"]


@dataclass(frozen=True, slots=True)
class Training:
    """One arm with one seed in one setting.

    Attributes:
        setting: Name of the setting.
        arm: Name of the arm, as folders and tables have it.
        seed: Of adapters, order, and what is drawn at random.
        role: What it is there for.
        of: The arm of the study that it belongs to, or the score of a curve; empty for base, full and oracle.
        share: Of a curve: the share of tokens masked.
    """

    setting: str
    arm: str
    seed: int
    role: Role
    of: str = ""
    share: float | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.arm if self.role == "base" else f"{self.arm}-seed{self.seed}"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as a run: its rows are scored once, and all arms label these scores.

    Attributes:
        name: As in ``settings``.
        spec: What the study says of it.
        config: Of the run; ``data.path``, ``truth`` and ``evaluation.path`` are where the study puts what it makes.
        source: Of the rows before anything is planted in them.
        objectives: Arm to what it is trained with.
        has_truth: Whether wrong tokens are known.
    """

    name: str
    spec: SettingConfig
    config: RunConfig
    source: RunConfig
    objectives: Mapping[str, Objective]
    has_truth: bool

    @property
    def folder(self) -> Path:
        """Everything of this setting."""
        return Path(self.config.output).parent

    @property
    def training(self) -> TrainingConfig:
        """The training section, which a study needs."""
        assert self.config.training is not None
        return self.config.training


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study trains.

    Attributes:
        study: Its configuration.
        settings: By name.
        trainings: In the order in which they are made.
    """

    study: StudyConfig
    settings: Mapping[str, Setting]
    trainings: Sequence[Training]

    def _repr_html_(self) -> str:
        rows = [(one.setting, one.arm, one.seed, one.role) for one in self.trainings]
        return html_box(counted(len(rows), "training"), html_table(("setting", "arm", "seed", "role"), rows))

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return Path(self.study.output)

    def path_of(self, training: Training) -> Path:
        """The folder of a training."""
        return self.settings[training.setting].folder / "arms" / training.name


def plan_study(study: StudyConfig) -> Plan:
    """Read the configurations that a study names, check them, and list its trainings.

    Candidates come first, then seed by seed, so that each finished seed is a comparison of all arms.

    Raises:
        ConfigError: with every mistake found in one of the files, one a line.
    """
    settings = {name: _setting(study, name, spec) for name, spec in study.all_settings.items()}
    first = study.seeds[0]
    trainings = [one for setting in settings.values() for one in _candidates(study, setting, first)]
    trainings += [Training(name, "base", first, "base") for name in settings if "base" in study.controls]
    for seed in study.seeds:
        for setting in settings.values():
            trainings += _arms(study, setting, seed)
            trainings += _curve(study, setting, seed)
    return Plan(study, settings, trainings)


def candidate_name(arm: str, number: int) -> str:
    """The name of an arm under its ``number``-th candidate, from 1."""
    return f"{arm}_cut{number}"


def curve_name(role: Role, of: str, share: float) -> str:
    """The name of a point of a curve.

    >>> curve_name("worst", "label_quality", 0.01), curve_name("chance", "", 0.4)
    ('curve_worst_label_quality_1', 'curve_chance_40')
    """
    percent = f"{100 * share:g}".replace(".", "p")
    return "_".join(["curve", role, *([of] if of else []), percent])


def _candidates(study: StudyConfig, setting: Setting, seed: int) -> Iterator[Training]:
    for name, arm in study.arms.items():
        for number in range(1, len(arm.candidates) + 1):
            yield Training(setting.name, candidate_name(name, number), seed, "candidate", name)


def _arms(study: StudyConfig, setting: Setting, seed: int) -> Iterator[Training]:
    controls = study.controls if study.arms else tuple(c for c in study.controls if c != "random")
    if "full" in controls:
        yield Training(setting.name, "full", seed, "full")
    if "oracle" in controls and setting.has_truth:
        yield Training(setting.name, "oracle", seed, "oracle")
    for name in study.arms:
        yield Training(setting.name, name, seed, "method", name)
        yield Training(setting.name, f"random_of_{name}", seed, "random", name)
        if "inverted" in controls:
            yield Training(setting.name, f"inverted_of_{name}", seed, "inverted", name)


def _curve(study: StudyConfig, setting: Setting, seed: int) -> Iterator[Training]:
    if study.curve is None:
        return
    roles: tuple[Role, ...] = ("worst", "best")
    for share in study.curve.shares:
        yield Training(setting.name, curve_name("chance", "", share), seed, "chance", share=share)
        for of in study.curve.scores:
            for role in roles:
                yield Training(setting.name, curve_name(role, of, share), seed, role, of, share)


def _setting(study: StudyConfig, name: str, spec: SettingConfig) -> Setting:
    place = f"{study.config}, setting {name}"
    folder = Path(study.output) / name
    raw = completed(merged(merged(read_yaml(study.config), study.changes), spec.changes))
    raw = {**raw, "output": str(folder / "run")}
    if spec.arithmetic is not None:
        raw = _on_arithmetic(raw, folder)
    source = _checked(raw, place)
    _check_for_study(study, source, spec, place)
    adopted = _Adopted(raw)
    for arm, chosen in study.arms.items():
        adopted.add(arm, chosen)
    raw = adopted.raw
    if spec.plant is not None:
        data = folder / "planted.jsonl"
        raw = {**raw, "data": {**raw["data"], "path": str(data), "split": "train"}}
        raw = {**raw, "truth": str(data.with_name("planted.truth.jsonl"))}
        raw["data"] = {key: value for key, value in raw["data"].items() if key != "limit"}
    config = _checked(raw, place)
    objectives = (
        {arm: found or source.training.objective for arm, found in adopted.objectives.items()}
        if (source.training is not None)
        else {}
    )
    return Setting(name, spec, config, source, objectives, config.truth is not None)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes``, section by section; what is no section on both sides is replaced."""
    found = dict(base)
    for key, value in changes.items():
        old = found.get(key)
        found[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return found


def _on_arithmetic(raw: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration on generated rows; settings of columns and splits were for other files."""
    data = {k: v for k, v in (raw.get("data") or {}).items() if k not in ("columns", "split", "limit")}
    evaluation = {k: v for k, v in (raw.get("evaluation") or {}).items() if k not in ("split", "limit")}
    return {
        **{key: value for key, value in raw.items() if key != "truth"},
        "data": {**data, "path": str(folder / "arithmetic.jsonl")},
        "evaluation": {**evaluation, "path": str(folder / "arithmetic-heldout.jsonl"), "exact_match": True},
    }


def _check_for_study(study: StudyConfig, config: RunConfig, spec: SettingConfig, place: str) -> None:
    """Refuse what cannot be studied.

    Raises:
        ConfigError: naming the key.
    """
    problems = problems_of_rates(config)
    if config.training is None:
        problems.append("training: required, but not given: a study trains every arm")
    if config.evaluation.tasks:
        problems.append("evaluation.tasks: a study runs no benchmarks; leave them out, and give them to xtf train")
    if config.evaluation.path is None:
        problems.append("evaluation.path: required, but not given: clean held-out rows judge the arms")
    if config.strategy.kind != "fixed":
        problems.append("strategy: a study labels one set of scores; a self-evolving run scores as it trains")
    for score in study.curve.scores if study.curve is not None else ():
        if score not in config.attributes:
            problems.append(f"attributes: the curve asks for {score!r}, which is not among them")
    if spec.plant is not None and spec.arithmetic is None and config.truth is not None:
        problems.append("truth: mistakes are known already; leave out plant, or name rows without them")
    if problems:
        raise ConfigError([f"{place}: {problem}" for problem in problems])


def _checked(raw: Mapping[str, Any], place: str) -> RunConfig:
    return parse_config(raw, place, check_attributes=lambda attributes: problems_of_attributes(raw, attributes))


class _Adopted:
    """A configuration that takes in the labellings of a study's arms: attributes to score, and arms."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        attributes = raw.get("attributes") or RunConfig.model_fields["attributes"].get_default(
            call_default_factory=True
        )
        named = attributes if isinstance(attributes, Mapping) else {name: {} for name in attributes}
        self.raw: dict[str, Any] = {
            **raw,
            "attributes": {name: dict(params or {}) for name, params in named.items()},
            "thresholds": dict(raw.get("thresholds") or {}),
            "arms": {},
        }
        self.objectives: dict[str, Objective | None] = {}
        training = dict(raw.get("training") or {})
        self.raw["training"] = {**training, "arms": ["xtf"]}

    def add(self, name: str, arm: StudyArm) -> None:
        """Take in one arm, and each of its candidates as an arm of its own."""
        if arm.config is not None:
            self.raw["arms"][name], self.objectives[name] = self._of_file(name, arm)
            return
        self.objectives[name] = arm.objective
        own = arm.model_dump(mode="json", include={"attributes", "thresholds", "combine"})
        if not arm.candidates:
            self.raw["arms"][name] = own
            return
        for number, cuts in enumerate(arm.candidates, 1):
            candidate = candidate_name(name, number)
            dumped = {key: cut.model_dump(mode="json") for key, cut in cuts.items()}
            used = list(dict.fromkeys([*own["attributes"], *own["thresholds"], *dumped]))
            self.raw["arms"][candidate] = {**own, "attributes": used, "thresholds": {**own["thresholds"], **dumped}}
            self.objectives[candidate] = arm.objective

    def _of_file(self, name: str, arm: StudyArm) -> tuple[dict[str, Any], Objective | None]:
        assert arm.config is not None
        raw = completed(read_yaml(arm.config))
        other = _checked(raw, arm.config)
        own = {attribute: self._adopt(name, attribute, params) for attribute, params in other.attributes.items()}
        labelling = ArmConfig(attributes=tuple(own), thresholds=other.thresholds, combine=other.combine)
        dumped = labelling.model_dump(mode="json")
        dumped["attributes"] = [own[attribute] for attribute in dumped["attributes"]]
        dumped["thresholds"] = {own[attribute]: cut for attribute, cut in dumped["thresholds"].items()}
        dumped["combine"] = _renamed(dumped["combine"], own)
        return dumped, arm.objective or (other.training.objective if other.training is not None else None)

    def _adopt(self, arm: str, attribute: str, params: Mapping[str, Any]) -> str:
        """The name under which an attribute of another file is scored here: its own, unless that is taken."""
        there = self.raw["attributes"]
        taken = {"attribute": attribute, **params}
        for name, own in there.items():
            if {"attribute": name, **own} == taken:
                return str(name)
        name = attribute if attribute not in there else f"{attribute}_of_{arm}"
        there[name] = dict(params) if name == attribute else taken
        self.raw["thresholds"].setdefault(name, {"kind": "never"})
        return name


def _renamed(combine: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The section ``combine`` with attributes under other names, wherever it names one."""

    def renamed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {names.get(key, key): renamed(inner) for key, inner in value.items()}
        return names.get(value, value) if isinstance(value, str) else value

    return {key: value if key == "rule" else renamed(value) for key, value in combine.items()}


def explained(error: Exception) -> str:
    """What went wrong with one arm, in a line or a few."""
    return str(error) if isinstance(error, XTFError) else f"{type(error).__name__}: {error}"

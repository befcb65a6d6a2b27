"""A run as data: YAML -> typed, frozen, fully checked settings.

Unknown keys are refused, and every mistake is reported at once with its file, key path, what is allowed and a
suggestion. This module imports neither torch nor any scorer, so a configuration is read in milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from xtf.errors import ConfigError, did_you_mean, listed

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Scope = Literal["example", "dataset"]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


# -- model and data ----------------------------------------------------------------------------------------------


class ModelConfig(Section):
    """The base model."""

    path: str = Field(description="Hub id, folder, GGUF file, or package:NAME/FILE inside an installed package.")
    tokenizer: str | None = Field(None, description="Hub id or folder of the tokenizer, if not beside the model.")
    revision: str | None = Field(None, description="Branch, tag or commit on the hub.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model. Off for a reason.")


class ColumnsConfig(Section):
    """Names of the columns to read when they are not recognised by themselves. Give one complete set."""

    id: str | None = None
    messages: str | None = None
    system: str | None = None
    prompt: str | None = None
    input: str | None = None
    response: str | None = None
    input_ids: str | None = None
    labels: str | None = None


class DataConfig(Section):
    """The examples to score."""

    path: str = Field(description="JSONL, JSON or Parquet file, a datasets folder, or a hub id.")
    split: str = Field("train", description="Split of a hub data set or a datasets folder.")
    columns: ColumnsConfig = ColumnsConfig()
    max_length: PositiveInt = Field(2048, description="Longest example, in tokens.")
    too_long: Literal["truncate", "drop"] = "truncate"
    on_error: Literal["skip", "stop"] = Field("skip", description="Skip and report a bad row, or stop.")
    limit: PositiveInt | None = Field(None, description="Read only the first examples.")


# -- cuts --------------------------------------------------------------------------------------------------------


class Below(Section):
    """Lacking when score < cut."""

    kind: Literal["below"] = "below"
    cut: float


class Above(Section):
    """Lacking when score > cut."""

    kind: Literal["above"] = "above"
    cut: float


class Outside(Section):
    """Lacking when score < low or score > high."""

    kind: Literal["outside"] = "outside"
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Outside:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not exceed high ({self.high})")
        return self


class Iqr(Section):
    """Lacking when score < Q1 - k (Q3 - Q1) (side low), > Q3 + k (Q3 - Q1) (side high), or either (both)."""

    kind: Literal["iqr"] = "iqr"
    k: Annotated[float, Field(ge=0.0)] = 1.0
    side: Literal["low", "high", "both"] = "low"
    scope: Scope = "example"


class MultiOtsu(Section):
    """Multi-Otsu clusters of the score, numbered from 0 by rising mean; lacking when in one of ``lacking``."""

    kind: Literal["multi_otsu"] = "multi_otsu"
    classes: Annotated[int, Field(ge=2, le=5)] = 5
    lacking: tuple[int, ...] = (1,)
    scope: Scope = "dataset"

    @model_validator(mode="after")
    def _clusters_exist(self) -> MultiOtsu:
        if any(not 0 <= cluster < self.classes for cluster in self.lacking):
            raise ValueError(f"lacking must name clusters from 0 to {self.classes - 1}, got {list(self.lacking)}")
        return self


class BottomShare(Section):
    """The lowest-scoring ``share`` of tokens lacks; a tie at the boundary is kept."""

    kind: Literal["bottom_share"] = "bottom_share"
    share: Share
    scope: Scope = "dataset"


class TopShare(Section):
    """The highest-scoring ``keep`` of tokens is kept and the rest lacks; a tie at the boundary is kept."""

    kind: Literal["top_share"] = "top_share"
    keep: Share
    scope: Scope = "dataset"


class Never(Section):
    """No token lacks: the attribute is scored and shown but decides nothing."""

    kind: Literal["never"] = "never"


Threshold = Annotated[
    Below | Above | Outside | Iqr | MultiOtsu | BottomShare | TopShare | Never, Field(discriminator="kind")
]


# -- combination -------------------------------------------------------------------------------------------------


class CombineConfig(Section):
    """How lacking attributes become noise, and the guards that limit it."""

    rule: Literal["any", "all", "vote", "weighted"] = "any"
    votes: PositiveInt = Field(2, description="For vote: noise when at least this many attributes lack.")
    weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(
        default_factory=dict, description="For weighted: weight of each attribute's corpus rank (default 1)."
    )
    threshold: Threshold = Field(
        default_factory=lambda: BottomShare(share=0.3), description="For weighted: the cut on the mean rank."
    )
    noise_weight: Share = Field(0.0, description="Weight of a noise token when training with objective: weight.")
    weight_by: str | None = Field(None, description="Attribute whose score, within [0, 1], weights each kept token.")
    max_noise_share: Share = Field(1.0, description="Greatest share of an example's response that may be noise.")
    min_kept: Annotated[int, Field(ge=0)] = Field(0, description="Fewest unprotected tokens to keep in an example.")


# -- scoring, training, evaluation -------------------------------------------------------------------------------


class ScoringConfig(Section):
    """How the scoring pass runs; none of these settings changes a score."""

    tokens_per_batch: PositiveInt | None = Field(None, description="Padded tokens in a batch; found if unset.")
    examples_per_shard: PositiveInt = Field(1000, description="Examples in one shard, the unit of resumption.")
    fit_examples: PositiveInt = Field(2000, description="First examples that scorers may fit on.")
    allow_degenerate: bool = Field(False, description="Let attributes pass whose scores do not tell tokens apart.")


class LoraSettings(Section):
    """Low-rank adapters."""

    r: PositiveInt = 8
    alpha: PositiveInt = 32
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"


class TrainingConfig(Section):
    """Gradient-masked fine-tuning."""

    arms: tuple[str, ...] = Field(
        ("xtf",),
        description="What to train and compare: base, full, xtf, random, inverted, or an arm of the section arms.",
    )
    method: Literal["lora", "full"] = "lora"
    lora: LoraSettings = LoraSettings()
    objective: Literal["mask", "weight"] = "mask"
    normalise: Literal["kept", "response"] = Field("kept", description="Divide the loss by kept or by response tokens.")
    learning_rate: Annotated[float, Field(gt=0.0)] = 2e-4
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_ratio: Share = 0.03
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    batch_size: PositiveInt = 8
    gradient_accumulation: PositiveInt = 1
    epochs: Annotated[float, Field(gt=0.0)] = 4.0
    max_steps: PositiveInt | None = None
    max_examples: PositiveInt | None = Field(None, description="Train on the first examples only.")
    dtype: Literal["float32", "bfloat16"] = "float32"
    save_steps: PositiveInt | None = Field(None, description="Checkpoint every so many updates, to resume from.")
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    report_to: tuple[str, ...] = Field((), description="Loggers of transformers.Trainer: tensorboard, wandb, …")

    @field_validator("arms")
    @classmethod
    def _distinct_arms(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(arms)) != len(arms):
            raise ValueError("an arm is named twice")
        return arms


class StrategyConfig(Section):
    """When tokens are scored. ``strategy: self_evolving`` is short for ``strategy: {kind: self_evolving}``.

    ``fixed``: score once, then train. ``self_evolving`` (Token Cleaning, arXiv 2502.01968): cut the data into
    ``rounds`` parts; learn every token of the first; score each further part by the base against the newest model,
    and go on training on what the cuts keep.
    """

    kind: Literal["fixed", "self_evolving"] = "fixed"
    rounds: Annotated[int, Field(ge=2)] | None = Field(None, description="self_evolving: parts of the data (5).")
    evolving: tuple[str, ...] = Field((), description="self_evolving: whose reference is the newest model (influence).")

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, value: Any) -> Any:
        value = {"kind": value} if isinstance(value, str) else value
        if not isinstance(value, Mapping):
            return value
        if value.get("kind") == "self_evolving":
            return {**value, "rounds": value.get("rounds") or 5, "evolving": value.get("evolving") or ("influence",)}
        return value

    def specs(self, attributes: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
        """The ``attributes`` section with ``reference`` given to those that evolve."""
        return {
            name: {**(spec or {}), "reference": dict(reference)} if name in self.evolving else spec
            for name, spec in attributes.items()
        }

    @model_validator(mode="after")
    def _read_settings_only(self) -> StrategyConfig:
        if self.kind == "fixed" and (self.rounds is not None or self.evolving):
            raise ValueError("rounds and evolving belong to kind: self_evolving")
        return self


class ArmConfig(Section):
    """One more way of labelling the run's scores; attributes that it does not use decide nothing."""

    attributes: tuple[str, ...] = Field((), description="What it uses, by the run's own cuts; default: its thresholds.")
    thresholds: dict[str, Threshold] = Field(default_factory=dict, description="Cuts of its own.")
    combine: CombineConfig = CombineConfig()

    @property
    def used(self) -> tuple[str, ...]:
        """The attributes that decide."""
        return self.attributes or tuple(self.thresholds)

    @model_validator(mode="after")
    def _uses_something(self) -> ArmConfig:
        if not self.used:
            raise ValueError("name the attributes it uses, or give thresholds")
        if stray := [name for name in self.thresholds if name not in self.used]:
            raise ValueError(f"thresholds.{stray[0]}: not among its attributes ({listed(self.used)})")
        return self


PREDEFINED_ARMS: Mapping[str, ArmConfig] = {
    "token_cleaning": ArmConfig(thresholds={"influence": TopShare(keep=0.6)}),
    "rho": ArmConfig(thresholds={"influence": TopShare(keep=0.6, scope="example")}),
}
"""Arms that need no entry in ``arms``: the top 60 % of the data set (arXiv 2502.01968), or of each example (Rho-1)."""

BUILT_IN_ARMS = ("base", "full", "random", "inverted", "xtf")
CONTROLS = ("random", "inverted")


def arm_parts(arm: str) -> tuple[str, str | None]:
    """What an arm does (a name of BUILT_IN_ARMS) and the labels it does it with: the run's own are ``xtf``.

    >>> arm_parts("rho"), arm_parts("random"), arm_parts("random_of_rho"), arm_parts("full")
    (('xtf', 'rho'), ('random', 'xtf'), ('random', 'rho'), ('full', None))
    """
    if arm in ("base", "full"):
        return arm, None
    control, separator, labels = arm.partition("_of_")
    if control in CONTROLS and (separator or arm == control):
        return control, labels or "xtf"
    return "xtf", arm


class EvaluationConfig(Section):
    """Held-out comparison of the arms."""

    path: str | None = Field(None, description="Held-out examples, in any schema that data.path accepts.")
    limit: PositiveInt | None = None
    exact_match: bool = Field(True, description="Generate greedily and compare the final number.")
    exact_match_limit: PositiveInt | None = Field(None, description="Generate for the first held-out examples only.")
    max_new_tokens: PositiveInt = 160
    batch_size: PositiveInt = 16


class RunConfig(Section):
    """Everything one run needs; ``xtf init`` writes a commented example."""

    output: str = Field("runs/default", description="The run folder.")
    seed: int = 0
    model: ModelConfig
    data: DataConfig
    attributes: dict[str, dict[str, Any]] = Field(
        default_factory=lambda: dict[str, dict[str, Any]](
            reasoning_importance={}, knowledge_novelty={}, task_relevance={}
        ),
        description="Name to parameters. A second instance of a scorer gets a name of its own and 'attribute: NAME'.",
    )
    thresholds: dict[str, Threshold] = Field(default_factory=dict, description="Attribute name to its cut.")
    combine: CombineConfig = CombineConfig()
    scoring: ScoringConfig = ScoringConfig()
    strategy: StrategyConfig = StrategyConfig()
    arms: dict[str, ArmConfig] = Field(default_factory=dict, description="Arm name to its way of labelling the scores.")
    training: TrainingConfig | None = None
    evaluation: EvaluationConfig = EvaluationConfig()

    @field_validator("attributes", mode="before")
    @classmethod
    def _empty_means_defaults(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return {name: {} for name in value}
        if isinstance(value, Mapping):
            return {name: {} if params is None else params for name, params in value.items()}
        return value

    @field_validator("attributes")
    @classmethod
    def _usable_attributes(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if not 1 <= len(value) <= 16:
            raise ValueError(f"between 1 and 16 attributes are needed, got {len(value)}")
        for name in value:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name == "example_id":
                raise ValueError(f"{name!r} cannot name an attribute: letters, digits and _ only, not example_id")
        return value

    @field_validator("arms")
    @classmethod
    def _usable_arm_names(cls, value: dict[str, ArmConfig]) -> dict[str, ArmConfig]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in BUILT_IN_ARMS or arm_parts(name)[0] != "xtf":
                raise ValueError(f"{name!r} cannot name an arm: letters, digits and _ only, and no built-in name")
        return value

    def arm(self, name: str) -> ArmConfig | None:
        """How an arm labels the scores, or None if there is no such arm."""
        return self.arms.get(name) or PREDEFINED_ARMS.get(name)

    @model_validator(mode="after")
    def _names_refer(self) -> RunConfig:
        named = list(_attributes_named("", self.thresholds, self.combine))
        for arm, spec in self.arms.items():
            named += [(f"arms.{arm}.attributes", name) for name in spec.attributes]
            named += _attributes_named(f"arms.{arm}.", spec.thresholds, spec.combine)
        problems = [
            f"{place}: no attribute of that name in this run.{did_you_mean(name, self.attributes)} "
            f"In this run: {listed(self.attributes)}"
            for place, name in named
            if name not in self.attributes
        ]
        problems += self._problems_of_arms() + self._problems_of_strategy()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems_of_arms(self) -> list[str]:
        known = list(dict.fromkeys((*BUILT_IN_ARMS, *PREDEFINED_ARMS, *self.arms)))
        problems = []
        for arm in self.training.arms if self.training is not None else ():
            _, labels = arm_parts(arm)
            spec = self.arm(labels) if labels not in (None, "xtf") else None
            if labels not in (None, "xtf") and spec is None:
                problems.append(
                    f"training.arms: no arm named {arm!r}.{did_you_mean(arm, known)} Known: {listed(known)}"
                )
            for name in spec.used if spec is not None and labels not in self.arms else ():
                if name not in self.attributes:
                    problems.append(
                        f"training.arms: {arm} cuts the scores of {name!r}, which this run does not score. "
                        f"Add attributes.{name}, or define arms.{labels} by other attributes. "
                        f"In this run: {listed(self.attributes)}"
                    )
        return problems

    def _problems_of_strategy(self) -> list[str]:
        if self.strategy.kind == "fixed":
            return []
        problems = [
            f"strategy.evolving: no attribute {name!r} in this run. Name an attribute with a reference, which becomes "
            f"the newest model. In this run: {listed(self.attributes)}"
            for name in self.strategy.evolving
            if name not in self.attributes
        ]
        problems += [
            f"attributes.{name}.reference: not with strategy self_evolving, where it is the newest model"
            for name in self.strategy.evolving
            if self.attributes.get(name, {}).get("reference") is not None
        ]
        if self.training is None:
            return [*problems, "training: required, but not given: a self-evolving run trains after each part"]
        if "xtf" not in self.training.arms:
            problems.append("training.arms: a self-evolving run trains xtf in any case; name it too")
        if self.training.max_examples is not None:
            problems.append("training.max_examples: not with strategy self_evolving; use data.limit")
        problems += [
            f"training.arms: {arm} cannot be compared in a self-evolving run, whose scores change from part to part. "
            "Compare it in a run with strategy: fixed"
            for arm in self.training.arms
            if arm_parts(arm)[1] not in (None, "xtf")
        ]
        return problems


def _attributes_named(
    prefix: str, thresholds: Mapping[str, Threshold], combine: CombineConfig
) -> Iterator[tuple[str, str]]:
    """Each place where a labelling names an attribute, and the name."""
    yield from ((f"{prefix}thresholds.{name}", name) for name in thresholds)
    yield from ((f"{prefix}combine.weights.{name}", name) for name in combine.weights)
    if combine.weight_by:
        yield f"{prefix}combine.weight_by", combine.weight_by


AttributeCheck = Callable[[Mapping[str, Any]], list[str]]


def parse_config(
    raw: Mapping[str, Any],
    source: str = "<config>",
    overrides: Sequence[str] = (),
    check_attributes: AttributeCheck | None = None,
) -> RunConfig:
    """Validate ``raw`` after applying ``key.path=value`` overrides.

    ``check_attributes`` receives the raw ``attributes`` mapping and returns problems as ``"key.path: text"``, so that
    mistakes in scorer parameters are listed together with all others.

    Raises:
        ConfigError: with every problem found, one a line.
    """
    merged = apply_overrides(raw, overrides)
    problems: list[str] = []
    config: RunConfig | None = None
    try:
        config = RunConfig.model_validate(merged)
    except ValidationError as error:
        problems += validation_problems(error, RunConfig)
    if check_attributes is not None:
        named = config.attributes if config is not None else merged.get("attributes")
        if isinstance(named, Mapping):
            problems += check_attributes(named)
    if problems or config is None:
        raise ConfigError([f"{source}: {line}" for line in dict.fromkeys(problems)])
    return config


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read one YAML mapping safely; duplicate keys and syntax errors name file and line."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. Write one with: xtf init {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        loaded = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader subclass
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected a mapping with at least 'model' and 'data', found {type(loaded).__name__}")
    return loaded


def apply_overrides(raw: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of ``raw`` with each ``key.path=value`` set; values are read as YAML."""
    merged: dict[str, Any] = {**raw}
    for override in overrides:
        path, separator, text = override.partition("=")
        keys = path.strip().split(".")
        if not separator or not all(keys):
            raise ConfigError(f"--set {override}: expected key.path=value, for example data.limit=100")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set {override}: the value is not valid YAML") from None
        level = merged
        for key in keys[:-1]:
            inner = level.get(key)
            if inner is not None and not isinstance(inner, Mapping):
                raise ConfigError(f"--set {override}: {key!r} is not a section")
            level[key] = {**(inner or {})}
            level = level[key]
        level[keys[-1]] = value
    return merged


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(getattr(key_node, "value", key_node))
            if key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def validation_problems(error: ValidationError, root: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[str]:
    """One line for each pydantic error: key path (``prefix`` first), what was wrong, what is allowed."""
    lines = []
    for item in error.errors():
        path = [str(part) for part in item["loc"]]
        start = 2 if path[:1] == ["arms"] else 0
        if path[start : start + 1] == ["thresholds"] or path[start : start + 2] == ["combine", "threshold"]:
            path = path[: start + 2] + path[start + 3 :]  # pydantic inserts the name of the chosen cut
        place = ".".join((*prefix, *path))
        match item["type"]:
            case "extra_forbidden":
                text = f"unknown key {_one_of(path[-1], _fields_at(root, item['loc'][:-1]))}"
            case "missing":
                text = "required, but not given"
            case "value_error":
                text = str(item["ctx"]["error"])
            case "union_tag_invalid":
                text = f"no cut named {_one_of(item['ctx']['tag'], _quoted(item['ctx']['expected_tags']))}"
                place += ".kind"
            case "union_tag_not_found":
                text = "required: which cut to use, for example 'below' or 'iqr'"
                place += ".kind"
            case "literal_error":
                text = f"cannot be {_one_of(item['input'], _quoted(item['ctx']['expected']))}"
            case _:
                text = f"{item['msg'][0].lower()}{item['msg'][1:]}, got {_short(item['input'])}"
        lines += [f"{place}: {line}" if place else line for line in text.split("\n")]
    return lines


def _fields_at(root: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys allowed in the section that ``loc`` points to."""
    kinds: dict[str, type[Section]] = {
        str(kind.model_fields["kind"].default): kind
        for kind in (Below, Above, Outside, Iqr, MultiOtsu, BottomShare, TopShare, Never)
    }
    section = root
    for part in loc:
        if str(part) in kinds:
            section = kinds[str(part)]
            continue
        field = section.model_fields.get(str(part))
        annotations = [field.annotation, *getattr(field.annotation, "__args__", ())] if field is not None else []
        section = next((a for a in annotations if isinstance(a, type) and issubclass(a, BaseModel)), section)
    return list(section.model_fields)


def _quoted(text: object) -> list[str]:
    return re.findall(r"'([^']+)'", str(text))


def _one_of(given: object, allowed: Sequence[str]) -> str:
    return f"{_short(given)}.{did_you_mean(str(given), allowed)} Allowed: {listed(allowed)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"

"""The sections of a configuration, but for cuts and arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from xtf.config.base import Section, Share
from xtf.config.kinds import RULES, PluginSection, read_rule
from xtf.config.lists import are_names, words
from xtf.config.problems import SettingsError, problems_of
from xtf.config.row_tests import RowTest
from xtf.config.text_rules import TextRule, as_rules
from xtf.config.trainer_args import problems_of_arguments

Quantization = Literal["none", "8bit", "4bit"]
"""What the weights of linear layers are held in."""

Place = Annotated[int, Field(ge=0)] | Literal["cpu", "disk"]
"""Where weights lie: on a GPU, in host memory, on disk. From the last two they are brought when they run."""

DeviceMap = Literal["auto", "balanced", "balanced_low_0", "sequential"] | dict[str, Place]
"""How accelerate places weights: by its own reckoning, or modules by name ('' is all of them)."""


class ModelConfig(Section):
    """The base model."""

    path: str = Field(
        description="Hub id, folder, GGUF file (of the hub: ORG/NAME/FILE.gguf), or package:NAME/FILE of a package."
    )
    tokenizer: str | None = Field(None, description="Hub id or folder of the tokenizer, if not beside the model.")
    revision: str | None = Field(None, description="Branch, tag or commit on the hub.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: bfloat16 where it computes faster, else float32; fixed when a run begins."
    )
    quantization: Quantization = Field(
        "none", description="Hold the weights of linear layers in so many bits (bitsandbytes); training then adds LoRA."
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    device_map: DeviceMap | None = Field(
        None,
        description="Spread weights over GPUs, host memory and disk: auto, or modules with places; for scoring.",
    )
    max_memory: dict[int | Literal["cpu"], str] | None = Field(
        None,
        description="With device_map: most that weights take on each GPU, by its number, and in host memory (cpu).",
    )
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model. Off for a reason.")

    @model_validator(mode="after")
    def _places_that_agree(self) -> ModelConfig:
        if self.device_map is not None and self.device != "auto":
            raise SettingsError([(("device",), f"{self.device!r}: device_map decides this. Leave one of them out")])
        if self.device_map is None and self.max_memory is not None:
            raise SettingsError([(("max_memory",), "says nothing without device_map. Set device_map: auto")])
        return self


class ColumnsConfig(Section):
    """Names of the columns to read when they are not recognised by themselves. Give one complete set."""

    id: str | None = Field(
        "auto", description="Name of each example; auto: id or example_id, where there is one; null: row numbers."
    )
    messages: str | None = Field(None, description="List of turns: role and content, or from and value.")
    system: str | None = Field(None, description="System prompt, beside prompt and response.")
    prompt: str | None = Field(None, description="What the user asks.")
    input: str | None = Field(None, description="More of the prompt, put after a blank line.")
    response: str | None = Field(None, description="What the assistant answers.")
    reasoning: str | None = Field(None, description="What the assistant thinks before, as the chat template writes it.")
    text: str | None = Field(None, description="Plain text of which every token is learnt, as in pre-training.")
    input_ids: str | None = Field(None, description="Token ids of rows that are tokenised already.")
    labels: str | None = Field(None, description="Their targets; -100 marks what is no response.")


TEMPLATE_INPUTS = frozenset(("messages", "conversation", "tools", "chat_template", "add_generation_prompt", "tokenize"))
"""Arguments of a chat template that are not the user's to give."""


Paths = str | Annotated[tuple[str, ...], Field(min_length=1)]
"""One thing to read, or several."""


class DataConfig(Section):
    """The examples to score."""

    path: Paths = Field(
        description="A file (JSONL, JSON, CSV, TSV, Parquet; .gz, .bz2, .xz, .zst), a folder, a datasets folder, a "
        "pattern (*.jsonl), an address (s3://…), a hub id, or a list of these."
    )
    split: str = Field("train", description="Split of a hub data set or a datasets folder.")
    columns: ColumnsConfig = Field(ColumnsConfig(), description="Which columns to read, if not recognised.")
    max_length: PositiveInt = Field(2048, description="Longest example, in tokens.")
    too_long: Literal["truncate", "drop"] = Field("truncate", description="Cut on the right, or leave out; counted.")
    roles: dict[str, Literal["system", "user", "assistant", "tool"]] = Field(
        {}, description="Roles under other names: agent: assistant. The common ones are known, whatever their case."
    )
    template_args: dict[str, Any] = Field(
        {}, description="Arguments of the chat template: enable_thinking: false. A row's chat_template_kwargs go first."
    )
    template_adds: Literal["prompt", "target"] = Field(
        "prompt",
        description="What the chat template adds to a turn and a generation prompt can supply, such as an empty think "
        "block: part of the prompt, or learnt.",
    )
    system: Literal["merge", "drop", "refuse"] = Field(
        "merge", description="System text under a template without a place for it: put before the user's words, …."
    )
    learn: Literal["all_turns", "last_turn"] = Field(
        "all_turns", description="Which assistant turns are targets; earlier ones are context under last_turn."
    )
    never_learn: tuple[TextRule, ...] = Field(
        (), description="Texts, regular expressions or tags in assistant turns whose tokens are no targets."
    )
    always_learn: tuple[TextRule, ...] = Field(
        (), description="The same for tokens that no cut and no rule may mask; never_learn goes first."
    )
    prompt_weight: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = Field(
        0.0, description="Weight of prompt tokens in training; they are neither scored nor masked."
    )
    only: dict[str, RowTest] = Field(
        {},
        description="Take only rows whose columns hold this: is_correct: true, score: '>= 4', lang: [en, de], "
        "meta.source: '!= web', of turns messages[].score: '> 3'; any: it says nothing of learning.",
    )
    preference: Literal["chosen", "refuse"] = Field(
        "chosen", description="Of preference data learn the chosen answers only, or refuse such rows."
    )
    on_error: Literal["skip", "stop"] = Field("skip", description="Skip and report a bad row, or stop.")
    limit: PositiveInt | None = Field(None, description="Read only the first examples.")

    _rules_as_lists = field_validator("never_learn", "always_learn", mode="before")(as_rules)

    @property
    def paths(self) -> tuple[str, ...]:
        """Each of the things that ``path`` names."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def place(self) -> str:
        """``path`` in one line, for messages."""
        return ", ".join(self.paths)

    @field_validator("template_args")
    @classmethod
    def _not_of_xtf_s_own(cls, value: dict[str, Any]) -> dict[str, Any]:
        if own := value.keys() & TEMPLATE_INPUTS:
            raise ValueError(
                f"{', '.join(sorted(own))}: the data and XTF give these; name arguments of the template's own"
            )
        return value


class CombineConfig(Section):
    """How lacking attributes become noise, the guards that limit it, and the settings of the rule beside them."""

    model_config = ConfigDict(extra="allow")

    rule: str = Field(
        "any", description="Noise if any attribute lacks (XTF), if all do, by votes, or by a cut on the mean rank."
    )
    noise_weight: Annotated[float, Field(ge=-1.0, le=1.0)] = Field(
        0.0, description="Weight of a noise token when training with objective: weight; below 0 it is unlearnt."
    )
    weight_by: str | None = Field(None, description="Attribute whose score, within [0, 1], weights each kept token.")
    max_noise_share: Share = Field(1.0, description="Greatest share of an example's response that may be noise.")
    min_kept: Annotated[int, Field(ge=0)] = Field(0, description="Fewest unprotected tokens to keep in an example.")

    @model_validator(mode="wrap")
    @classmethod
    def _with_settings_of_the_rule(cls, value: Any, handler: ModelWrapValidatorHandler[CombineConfig]) -> CombineConfig:
        if not isinstance(value, Mapping):
            return handler(value)
        own = {key: value[key] for key in value if key in cls.model_fields}
        beside = {key: value[key] for key in value if key not in own}
        settings, wrong = read_rule(own.get("rule", "any"), beside, cls.model_fields)
        problems = list(wrong)
        try:
            read = handler({**own, **settings})
        except ValidationError as error:
            problems += problems_of(error, cls)
        if problems:
            raise SettingsError(problems)
        return read

    def settings(self, kind: str | None = None) -> PluginSection:
        """The rule with the settings it reads; or another rule, with those given of its own."""
        kind = self.rule if kind is None else kind
        return RULES.load(kind).model_validate(self._settings_of(kind))

    def attributes_named(self) -> dict[str, str]:
        """Keys whose settings name an attribute, also of rules that are not chosen, and the attributes they name."""
        found: dict[str, str] = {"weight_by": self.weight_by} if self.weight_by else {}
        for kind in RULES.names() if self.model_extra else ():
            if own := self._settings_of(kind):
                found |= RULES.load(kind).model_construct(None, **own).attributes_named()
        return found

    def _settings_of(self, kind: str) -> dict[str, Any]:
        fields = RULES.load(kind).model_fields
        return {key: value for key, value in (self.model_extra or {}).items() if key in fields}


class ScoringConfig(Section):
    """How the scoring pass runs; none of these settings changes a score."""

    tokens_per_batch: PositiveInt | None = Field(
        None, description="Padded tokens in a batch; if unset, what fits, halved when it does not."
    )
    examples_per_shard: PositiveInt | None = Field(
        None, description="Examples in one shard, the unit of resumption; if unset, 256 on a CPU, else 2,048."
    )
    fit_examples: PositiveInt = Field(2000, description="First examples that scorers may fit on.")
    allow_degenerate: bool = Field(False, description="Let attributes pass whose scores do not tell tokens apart.")


class LoraSettings(Section):
    """Low-rank adapters."""

    r: PositiveInt = Field(8, description="Rank.")
    alpha: PositiveInt = Field(32, description="Scale: the adapter's product is multiplied by alpha / r.")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="Of the adapter's input, in training.")
    target_modules: str | tuple[str, ...] = Field("all-linear", description="Names of layers, as PEFT takes them.")

    @field_validator("target_modules", mode="before")
    @classmethod
    def _several_names(cls, value: Any) -> Any:
        return words(value) if isinstance(value, str) and are_names(value) else value


class TrainingConfig(Section):
    """Gradient-masked fine-tuning."""

    arms: tuple[str, ...] = Field(
        ("xtf",),
        description="What to train and compare: base, full, xtf, random, inverted, or an arm of the section arms.",
    )
    method: Literal["lora", "full"] = Field("lora", description="Train low-rank adapters, or all weights.")
    lora: LoraSettings = Field(LoraSettings(), description="For method: lora.")
    objective: Literal["mask", "weight"] = Field("mask", description="Learn kept tokens only, or each by its weight.")
    normalise: Literal["auto", "kept", "response"] = Field(
        "auto",
        description="Divide the loss by the weights' sum or by response tokens; auto: as the selectors' papers do.",
    )
    learning_rate: Annotated[float, Field(gt=0.0)] = Field(2e-4, description="Greatest rate of AdamW.")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="Of the rate, after warm-up.")
    warmup_ratio: Share = Field(0.03, description="Share of the updates over which the rate rises from 0.")
    weight_decay: Annotated[float, Field(ge=0.0)] = Field(0.0, description="Of AdamW.")
    max_grad_norm: Annotated[float, Field(gt=0.0)] | None = Field(
        1.0, description="Gradients of an update are scaled down to this norm; null: never."
    )
    batch_size: PositiveInt = Field(8, description="Examples in a batch, on each device.")
    gradient_accumulation: PositiveInt = Field(1, description="Batches in an update.")
    gradient_checkpointing: bool = Field(
        False,
        description="Compute activations again in the backward pass: little more than half of the memory, more time.",
    )
    epochs: Annotated[float, Field(gt=0.0)] = Field(4.0, description="Times through the data.")
    max_steps: PositiveInt | None = Field(None, description="Updates, instead of epochs.")
    rescore_steps: PositiveInt | None = Field(
        None, description="Score and label anew every so many updates, by the model in training; null: never."
    )
    max_examples: PositiveInt | None = Field(None, description="Train on the first examples only.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="As for the model.")
    save_steps: PositiveInt | None = Field(None, description="Checkpoint every so many updates, to resume from.")
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = Field((0,), description="Each arm is trained with each.")
    report_to: tuple[str, ...] = Field((), description="Loggers of transformers.Trainer: tensorboard, wandb, …")
    args: dict[str, Any] = Field(
        {},
        description="More of transformers.TrainingArguments, where no setting is: optim: adafactor, adam_beta2: 0.95.",
    )

    @field_validator("arms")
    @classmethod
    def _distinct_arms(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(arms)) != len(arms):
            raise ValueError("an arm is named twice")
        return arms

    @model_validator(mode="after")
    def _arguments_that_the_loop_honours(self) -> TrainingConfig:
        if problems := problems_of_arguments(self.args, rescores=self.rescore_steps is not None):
            raise SettingsError([(("args",), "; ".join(problems))])
        return self


class EvaluationConfig(Section):
    """Held-out comparison of the arms."""

    path: Paths | None = Field(None, description="Held-out examples: whatever data.path accepts, lists too.")
    split: str = Field("test", description="Split of a hub data set or a datasets folder; a single file has none.")
    limit: PositiveInt | None = Field(None, description="Evaluate on the first held-out examples only.")
    metrics: Literal["auto"] | tuple[str, ...] = Field(
        "auto", description="How answers are judged, by name; auto: by those that fit at least half of the rows."
    )
    exact_match: bool = Field(True, description="Generate answers greedily and judge them by the metrics.")
    exact_match_limit: PositiveInt | None = Field(None, description="Generate for the first held-out examples only.")
    max_new_tokens: PositiveInt = Field(160, description="Longest answer to generate.")
    batch_size: PositiveInt = Field(16, description="Answers generated at once.")
    tasks: tuple[str, ...] = Field(
        (),
        description="Benchmarks of the lm-evaluation-harness, by name: gsm8k, arc_challenge, …; needs the extra tasks.",
    )
    tasks_folder: str | None = Field(None, description="A folder with tasks of your own, as YAML files of the harness.")
    tasks_fewshot: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Worked examples before each question of a task; if unset, as each task has it."
    )
    tasks_limit: PositiveInt | None = Field(None, description="First rows of each task only: for a trial run.")

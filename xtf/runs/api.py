"""The steps of a run as typed calls: score, label, train, or all of them.

Each step reads what the step before it wrote, so every one can be repeated alone. Scoring loads the model; labelling
needs only scores; training needs only labels and the base model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtf import registry
from xtf.config import RunConfig, apply_overrides, parse_config, read_yaml
from xtf.errors import ConfigError, PluginError
from xtf.registry import AnyAttribute
from xtf.runs.opened import Run, open_run

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from xtf.data import Inspection

ConfigLike = RunConfig | Mapping[str, Any] | str | Path
Rows = Iterable[Mapping[str, Any]]


def load_config(source: ConfigLike, overrides: Sequence[str] = ()) -> RunConfig:
    """Read and check a configuration, scorer parameters included, and fill in the default cuts.

    Args:
        source: A YAML file, a mapping, or a configuration already checked.
        overrides: ``key.path=value`` texts, as after ``--set``.

    Raises:
        ConfigError: with every mistake, one a line.
    """
    if isinstance(source, RunConfig):
        raw, where = source.model_dump(mode="json"), "<config>"
    elif isinstance(source, Mapping):
        raw, where = dict(source), "<config>"
    else:
        raw, where = read_yaml(source), str(source)
    merged = apply_overrides(raw, overrides)
    return parse_config(_with_default_cuts(merged), where, check_attributes=registry.check)


def _with_default_cuts(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Add each attribute's default cut; a cut given in part (``cut: 0.1``) is completed from the default."""
    attributes = raw.get("attributes", RunConfig.model_fields["attributes"].get_default(call_default_factory=True))
    thresholds = raw.get("thresholds") or {}
    if isinstance(attributes, Sequence) and not isinstance(attributes, str):
        attributes = {str(name): {} for name in attributes}
    if not isinstance(attributes, Mapping) or not isinstance(thresholds, Mapping):
        return dict(raw)  # validation will say what is wrong
    completed = dict(thresholds)
    for name, spec in attributes.items():
        given = completed.get(name)
        if given is not None and not (isinstance(given, Mapping) and "kind" not in given):
            continue
        try:
            default = registry.build(str(name), spec if isinstance(spec, Mapping) else {}).default_threshold()
        except PluginError:
            continue  # reported by the check of the attributes
        completed[name] = {**default, **(given or {})}
    return {**raw, "thresholds": completed}


def run(config: ConfigLike, *, overwrite: bool = False, **objects: Any) -> Run:
    """Score, label, and train if the configuration has a ``training`` section. See :func:`score` for the objects."""
    config = load_config(config)
    scored = score(config, overwrite=overwrite, **objects)
    labelled = label(scored, [])
    if config.training is not None:
        train(labelled, model=objects.get("model"), tokenizer=objects.get("tokenizer"))
    return labelled


def score(
    config: ConfigLike,
    *,
    model: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    data: Rows | None = None,
    attributes: Mapping[str, AnyAttribute] | None = None,
    overwrite: bool = False,
) -> Run:
    """Tokenise and score; finished shards are kept, so starting again continues.

    Args:
        config: See :func:`load_config`.
        model: A model object to use instead of loading ``model.path``; needs ``tokenizer`` too.
        tokenizer: A tokenizer object.
        data: Rows (mappings, or a ``datasets.Dataset``) to use instead of reading ``data.path``.
        attributes: Scorer objects to use instead of building them from ``attributes``.
        overwrite: Delete another run in the same folder instead of refusing.

    Raises:
        XTFError: of the kind that names the mistake.
    """
    from xtf.runs.scoring import score_run

    return score_run(load_config(config), model, tokenizer, data, attributes, overwrite)


def label(run: Run | str | Path, overrides: Sequence[str] = ()) -> Run:
    """Turn scores into labels; loads no model. ``overrides`` may change ``thresholds`` and ``combine``."""
    from xtf.runs.labelling import label_run

    opened = run if isinstance(run, Run) else open_run(run)
    for override in overrides:
        if not override.startswith(("thresholds.", "combine.", "thresholds=", "combine=")):
            raise ConfigError(
                f"--set {override}: labelling reads only thresholds and combine; score again for the rest"
            )
    return label_run(opened, load_config(opened.config, overrides))


def train(
    run: Run | str | Path,
    overrides: Sequence[str] = (),
    *,
    model: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> dict[str, Any]:
    """Train and compare the arms of ``training``; returns what ``metrics.json`` holds."""
    from xtf.runs.training import train_run

    opened = run if isinstance(run, Run) else open_run(run)
    config = load_config(opened.config, overrides)
    if config.training is None:
        raise ConfigError(
            f"{opened.folder.config_path}: no training section. Add one, or use for example --set training.arms=[xtf]"
        )
    return train_run(opened, config, model, tokenizer)


def evaluate(run: Run | str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Evaluate every trained arm again; ``overrides`` may change ``evaluation``. Returns what ``metrics.json`` holds.

    Raises:
        RunError: if the run has not trained anything.
    """
    from xtf.runs.training import train_run

    opened = run if isinstance(run, Run) else open_run(run)
    _ = opened.metrics  # refuses a run without trained arms; those that it has are loaded, not trained again
    return train_run(opened, load_config(opened.config, overrides), None, None)


def inspect(
    config: ConfigLike, examples: int = 3, *, tokenizer: PreTrainedTokenizerBase | None = None, data: Rows | None = None
) -> Inspection:
    """Tokenise the first examples and count; loads no model weights."""
    from xtf.data import inspect_examples
    from xtf.model import load_tokenizer

    settings = load_config(config)
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer(settings.model)
    return inspect_examples(settings.data, tokenizer, examples, data)

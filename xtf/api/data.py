"""Data before it is scored: looked at, planted with noise, and what a run over it will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtf.api.configs import ConfigLike, Rows, data_config, load_config, with_objects
from xtf.api.reading import open_run
from xtf.config import RunConfig
from xtf.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtf.data import Inspection
    from xtf.steps.planting import PlantedFile


def inspect(
    config: ConfigLike,
    examples: int = 3,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    data: Rows | None = None,
    whole: bool = False,
) -> Inspection:
    """Tokenise the first examples and count; loads no model weights.

    Args:
        config: See :func:`load_config`; :func:`inspected_config` makes one for data alone.
        examples: How many to return token by token.
        tokenizer: A tokenizer object.
        data: Rows to use instead of reading ``data.path``.
        whole: Read all rows, not only the first 1,000 examples or half a million tokens.

    Raises:
        ConfigError: fewer than no examples.
        DataError: the data cannot be read.
    """
    from xtf.data import LOOK, inspect_examples
    from xtf.model import load_tokenizer

    if examples < 0:
        raise ConfigError(f"--examples {examples}: how many to print; 0 prints the counts alone")
    settings = with_objects(config, tokenizer, data, None)
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer(settings.model)
    return inspect_examples(settings.data, tokenizer, examples, data, None if whole else LOOK)


def inspected_config(
    sources: Sequence[str | Path], model: str | None = None, overrides: Sequence[str] = ()
) -> RunConfig:
    """The configuration under which data is looked at.

    Args:
        sources: One configuration file; or, with ``model``, data as for ``data.path``, which is then not cut to a
            greatest length; or one run, whose labels are looked at as its model reads them.
        model: As for ``model.path``.
        overrides: ``key=value`` texts.

    Raises:
        ConfigError: it is no configuration, and no model is named.
    """
    first = Path(sources[0])
    run = next((folder for folder in (first, first.parent) if (folder / "manifest.json").is_file()), None)
    if len(sources) == 1 and run is not None and first in (run, run / "labels"):
        own = open_run(run).config.model.model_dump(mode="json")
        return data_config([str(run / "labels")], own if model is None else {"path": model}, overrides)
    if model is not None:
        return data_config(list(map(str, sources)), {"path": model}, overrides)
    if len(sources) > 1 or first.is_dir() or first.suffix.lower() not in ("", ".yaml", ".yml", ".json"):
        raise ConfigError(f"{sources[0]}: to look at data, name the model whose tokenizer reads it: --model MODEL")
    return load_config(first, overrides)


def estimate(config: ConfigLike, *, throughput: float | None = None) -> dict[str, Any]:
    """What a run will take, before it is begun; loads no weights.

    Tokenises the first 2,000 examples, counts the rows behind them, and tries two shallow models of the same shape,
    with random weights, for a few seconds.

    Args:
        config: See :func:`load_config`.
        throughput: Tokens a second of one pass of the base model, instead of a trial.

    Returns:
        Model, data, memory of scoring and of training by part (bytes), passes, time (seconds), disk (bytes), what
        memory is at hand, whether it fits, and settings with which it would.

    Raises:
        ConfigError: a throughput that is not above 0.
        XTFError: of the kind that names any other mistake.
    """
    from xtf.steps.estimating import estimate_run

    if throughput is not None and not 0 < throughput < float("inf"):
        raise ConfigError(f"throughput: expected tokens a second, a number above 0, got {throughput:g}")
    return estimate_run(load_config(config), throughput)


def plant(
    data: str | Path,
    output: str | Path,
    *,
    kinds: Sequence[str] | None = None,
    rate: float = 0.1,
    share: float = 1.0,
    seed: int = 0,
    model: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> PlantedFile:
    """Plant noise in the responses of a data file, and write beside it which characters are wrong.

    Args:
        data: The examples, as for ``data.path``; every other column of a row stays as it is.
        output: The rows with noise, as JSON lines; the truth is written to ``STEM.truth.jsonl`` beside it.
        kinds: Names of kinds (see :func:`xtf.noise.known_kinds`); each response gets one that fits it. All by default.
        rate: Share of a noisy response's tokens that is wrong, on average, where the text has places enough.
        share: Share of the examples that get noise.
        seed: With the example's id, decides everything.
        model: As for ``model.path``: needed by kinds that exchange tokens; without it they are left out.
        columns: As for ``data.columns``.

    Raises:
        ConfigError: a rate or share outside 0 to 1, kinds that need a model where none is given, or an output that is
            the data itself or may be read with it.
        DataError: the data cannot be read.
    """
    from xtf.config import ColumnsConfig, DataConfig, ModelConfig, words
    from xtf.noise import Planting, choose_kinds
    from xtf.steps.planting import plant_file

    for name, value in (("rate", rate), ("share", share)):
        if not 0.0 < value <= 1.0:
            raise ConfigError(f"--{name} {value}: must lie above 0 and not above 1")
    kinds = words(kinds) if isinstance(kinds, str) else kinds
    if kinds is not None and not kinds:
        raise ConfigError("--kinds: names no kind; leave it out for all")
    source = DataConfig(path=str(data), columns=ColumnsConfig(**(columns or {})))
    planting = Planting(choose_kinds(kinds), rate, seed)
    return plant_file(source, Path(output), planting, share, ModelConfig(path=model) if model else None)

"""What every run begins with: its folder locked, its inputs as they were, its tokens written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from xtf.config import RunConfig
from xtf.engine.tokenise import TokenSource, tokenise
from xtf.errors import ConfigError, RunError
from xtf.files import digest, write_text
from xtf.runs.versions import versions
from xtf.store import RunFolder
from xtf.vocabulary import read_vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from xtf.model import LoadedModel


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run folder that holds its tokens.

    Attributes:
        folder: The folder.
        inputs: What the whole run rests on, as fingerprints.
        loaded: The model object given, if one was; otherwise it is yet to be loaded.
    """

    folder: RunFolder
    inputs: Mapping[str, str]
    loaded: LoadedModel | None


@contextmanager
def prepared(
    config: RunConfig,
    model: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase | None,
    data: Iterable[Mapping[str, Any]] | None,
    overwrite: bool,
) -> Iterator[Prepared]:
    """Hold the run's folder, and write its tokens and vocabulary where they are missing.

    Raises:
        RunError: the folder holds another run or other files, or another process is writing to it.
    """
    from xtf.model import LoadedModel, load_tokenizer

    if model is not None and tokenizer is None:
        raise ConfigError("a model object needs its tokenizer: score(config, model=…, tokenizer=…)")
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer(config.model)
    loaded = LoadedModel.from_objects(model, tokenizer) if model is not None else None
    rows = list(data) if data is not None else None
    folder = RunFolder(config.output)
    with folder.lock():
        inputs = _inputs(config, loaded, tokenizer, rows)
        _continue_or_refuse(folder, inputs, overwrite)
        write_config(folder, config)
        folder.update_manifest(
            versions=versions(), inputs=inputs, model=config.model.path, data=config.data.path, seed=config.seed
        )
        tokenise(folder, TokenSource(config.data, tokenizer, digest(inputs), config.scoring.examples_per_shard, rows))
        if not folder.vocabulary_path.exists():
            read_vocabulary(tokenizer).write(folder.vocabulary_path)
        yield Prepared(folder, inputs, loaded)


def write_config(folder: RunFolder, config: RunConfig) -> None:
    """Write the resolved configuration into the run folder."""
    write_text(folder.config_path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def _inputs(
    config: RunConfig, loaded: LoadedModel | None, tokenizer: PreTrainedTokenizerBase, rows: list[Any] | None
) -> dict[str, str]:
    """What the whole run rests on, as fingerprints; a run goes on only if all are as they were."""
    from xtf.data import fingerprint
    from xtf.model import model_fingerprint, tokenizer_fingerprint

    inputs = {
        "data": fingerprint(config.data, rows),
        "model": loaded.fingerprint if loaded is not None else model_fingerprint(config.model),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "seed": str(config.seed),
        "examples_per_shard": str(config.scoring.examples_per_shard),
    }
    if config.strategy.kind == "self_evolving":
        inputs["strategy"] = f"self_evolving in {config.strategy.rounds} rounds"
    return inputs


def _continue_or_refuse(folder: RunFolder, inputs: Mapping[str, str], overwrite: bool) -> None:
    if overwrite:
        folder.clear()
        return
    before = folder.manifest().get("inputs")
    if before is None:
        if folder.path.exists() and any(p for p in folder.path.iterdir() if p.name != "state"):
            raise RunError(
                f"{folder.path}: the folder holds other files. Choose another with --set output=runs/NAME, or "
                "--overwrite (which deletes only what a run writes)."
            )
        return
    changed = [key for key in {**inputs, **before} if before.get(key) != inputs.get(key)]
    if changed:
        raise RunError(
            f"{folder.path}: holds a run made from other inputs; changed: {', '.join(changed)}. Choose another folder "
            "with --set output=runs/NAME, or replace that run with --overwrite."
        )

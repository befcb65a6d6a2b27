"""What every run begins with: its folder locked, its inputs as they were, its tokens being written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xtf.config import ModelConfig, RunConfig
from xtf.data import repeatable
from xtf.engine.batches import fitting_shard
from xtf.engine.stream import TokenShards, tokenising
from xtf.engine.token_files import TokenSource, tokenise
from xtf.errors import ConfigError, RunError
from xtf.files import digest, read_sealed
from xtf.progress import notice
from xtf.runs.folder import RunFolder
from xtf.runs.locks import hold_after_waiting
from xtf.runs.settings import write_config
from xtf.runs.versions import versions
from xtf.runs.vocabulary import read_vocabulary
from xtf.runs.worker import Worker

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from xtf.model import LoadedModel


Choices = Callable[[ModelConfig], Mapping[str, str]]
"""What a configuration leaves to the machine that scores, as inputs of a run: ``dtype``, ``examples_per_shard``."""


@dataclass(frozen=True, slots=True)
class Given:
    """Objects that a caller hands over, to use instead of what the configuration names.

    Attributes:
        model: Instead of ``model.path``; needs its tokenizer.
        tokenizer: Instead of the model's own.
        data: Rows, instead of ``data.path``.
    """

    model: PreTrainedModel | None = None
    tokenizer: PreTrainedTokenizerBase | None = None
    data: Iterable[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run folder that holds its tokens.

    Attributes:
        folder: The folder.
        config: The run's configuration.
        inputs: What the whole run rests on beside the attributes, as fingerprints.
        loaded: The model object given, if one was; otherwise it is yet to be loaded.
        tokens: Its token shards; those that are yet to be written follow.
        worker: Of the shards, what this process scores; None: all.
    """

    folder: RunFolder
    config: RunConfig
    inputs: Mapping[str, str]
    loaded: LoadedModel | None
    tokens: TokenShards
    worker: Worker | None = None


@contextmanager
def prepared(
    config: RunConfig,
    given: Given,
    overwrite: bool = False,
    worker: Worker | None = None,
    choose: Choices | None = None,
) -> Iterator[Prepared]:
    """Hold the run's folder, and write its tokens and vocabulary where they are missing.

    Tokens are written by a thread while the ``with`` block lasts. With ``worker``, hold the folder beside the processes
    that take the other shares; one of them tokenises first, the others wait. ``choose`` is asked for what is left to
    the machine, if others than this one score.

    Raises:
        ConfigError: a model object without its tokenizer, or a worker together with ``overwrite``.
        RunError: the folder holds another run or other files, or another process is writing to it.
        DataError: the data cannot be read; at the latest when the block ends.
    """
    tokenizer, loaded = _loaded(config, given)
    if worker is not None and overwrite:
        raise ConfigError("--overwrite: not with several processes; delete the folder, then start them all")
    rows = repeatable(given.data)
    folder = RunFolder(config.output)
    with folder.lock(worker):
        begun = {} if overwrite else _begun_in(folder)
        if choose is not None:
            begun = _chosen(config, begun, choose)
        inputs = _inputs(config, loaded, tokenizer, rows, begun)
        source = TokenSource(config.data, tokenizer, digest(inputs), int(inputs["examples_per_shard"]), rows)
        with hold_after_waiting(folder.state / "tokens.lock", "the process that tokenises"):
            _continue_or_refuse(folder, inputs, overwrite)
            folder.update_manifest(
                versions=versions(), inputs=inputs, model=config.model.path, data=config.data.place, seed=config.seed
            )
            write_config(folder, config)
            if not _has_vocabulary(folder):
                read_vocabulary(tokenizer).write(folder.vocabulary_path)
            if worker is not None:
                tokenise(folder, source, worker)
        if worker is not None:
            yield Prepared(folder, config, inputs, loaded, TokenShards(folder.records("tokens")), worker)
            return
        with tokenising(folder, source) as tokens:
            yield Prepared(folder, config, inputs, loaded, tokens)


def inputs_of(config: RunConfig, given: Given) -> dict[str, str]:
    """What a run of this configuration rests on beside its attributes, as fingerprints.

    Raises:
        ConfigError: a model object without its tokenizer.
        XTFError: data or model cannot be read.
    """
    tokenizer, loaded = _loaded(config, given)
    return _inputs(config, loaded, tokenizer, given.data, {})


def choices_here(model: ModelConfig) -> dict[str, str]:
    """What a configuration leaves to the machine, as this one would have it; see :data:`Choices`.

    Raises:
        ModelError: there is no such model or device.
    """
    from xtf.model import model_device, model_dtype

    return {"dtype": model_dtype(model), "examples_per_shard": str(fitting_shard(model_device(model).type))}


def _chosen(config: RunConfig, begun: Mapping[str, str], choose: Choices) -> Mapping[str, str]:
    """What a run has begun with, and ``choose`` of what is still open."""
    is_open = (config.model.dtype == "auto" and "dtype" not in begun) or (
        config.scoring.examples_per_shard is None and "examples_per_shard" not in begun
    )
    return {**choose(config.model), **begun} if is_open else begun


def _loaded(config: RunConfig, given: Given) -> tuple[PreTrainedTokenizerBase, LoadedModel | None]:
    """The tokenizer, and the model object if one was given."""
    from xtf.model import LoadedModel, load_tokenizer

    if given.model is not None and given.tokenizer is None:
        raise ConfigError("a model object needs its tokenizer: give both, model=… and tokenizer=…")
    tokenizer = given.tokenizer if given.tokenizer is not None else load_tokenizer(config.model)
    return tokenizer, LoadedModel.from_objects(given.model, tokenizer) if given.model is not None else None


def _has_vocabulary(folder: RunFolder) -> bool:
    try:
        read_sealed(folder.vocabulary_path)
    except RunError:
        return False
    return True


def _inputs(
    config: RunConfig,
    loaded: LoadedModel | None,
    tokenizer: PreTrainedTokenizerBase,
    rows: Any,
    begun: Mapping[str, str],
) -> dict[str, str]:
    """What the whole run rests on, as fingerprints; a run goes on only if all are as they were.

    Where the machine may choose, of dtype and size of shards, a run stays with what it has ``begun`` with.
    """
    from xtf.data import fingerprint
    from xtf.model import model_device, model_dtype, model_fingerprint, tokenizer_fingerprint

    settings = config.model
    if settings.dtype == "auto":
        settings = settings.model_copy(update={"dtype": begun.get("dtype", "auto")})
    size = config.scoring.examples_per_shard or begun.get("examples_per_shard")
    if not size:
        size = fitting_shard((loaded.device if loaded is not None else model_device(settings)).type)

    inputs = {
        "data": fingerprint(config.data, rows),
        "model": loaded.fingerprint if loaded is not None else model_fingerprint(config.model),
        "dtype": str(loaded.dtype).removeprefix("torch.") if loaded is not None else model_dtype(settings),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "seed": str(config.seed),
        "examples_per_shard": str(size),
    }
    if config.strategy.kind == "self_evolving":
        inputs["strategy"] = f"self_evolving in {config.strategy.rounds} rounds"
    return inputs


def _begun_in(folder: RunFolder) -> Mapping[str, str]:
    """The inputs of the run in a folder, as far as there is one."""
    with suppress(RunError):
        return dict(folder.manifest().get("inputs", {}))
    return {}


def _continue_or_refuse(folder: RunFolder, inputs: Mapping[str, str], overwrite: bool) -> None:
    if overwrite:
        folder.clear()
        return
    try:
        before = folder.manifest().get("inputs")
    except RunError as error:
        before = _inputs_of_tokens(folder, inputs, error)
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


def _inputs_of_tokens(folder: RunFolder, inputs: Mapping[str, str], error: RunError) -> Mapping[str, str]:
    """Put a damaged manifest aside if the tokens say that they were made from ``inputs``.

    Raises:
        RunError: they were made from other inputs, and which ones nobody can tell now.
    """
    if any(record.facts.get("data") != digest(inputs) for record in folder.records("tokens")):
        raise RunError(
            f"{folder.manifest_path}: damaged, and the tokens beside it were made from other inputs. Choose another "
            "folder with --set output=runs/NAME, or replace that run with --overwrite."
        ) from None
    notice(f"{str(error).partition(': damaged')[0]}: damaged; it is made again.")
    folder.manifest_path.unlink()
    return inputs

"""What influence is measured against: reference models and task directions, made once and kept in the run folder.

``references/FINGERPRINT/`` holds each adapter that the run has trained, ``state/direction-FINGERPRINT.safetensors``
each direction. A fingerprint covers the base, the settings and every token of the examples, so that attributes, arms
and later runs in the folder that ask for the same thing share it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import numpy as np

from xtf.attribute import LossDerivative, Reference, SignalRequest
from xtf.config import LoraSettings, RunConfig, TrainingConfig
from xtf.data import DataReport, read_examples
from xtf.errors import ConfigError, DataError, ModelError, RunError
from xtf.files import digest
from xtf.model import LoadedModel, SignalPass, load_model, model_fingerprint, tokenizer_fingerprint
from xtf.model.adapters import Adapter, Adapters
from xtf.model.direction import Direction, task_direction
from xtf.model.forward import Forward
from xtf.model.source import folder_fingerprint, read_json
from xtf.progress import busy
from xtf.runs.folder import RunFolder
from xtf.runs.tables import examples_of, flat_tokens, tokens_table
from xtf.tokens import TokenizedExample, fold_of
from xtf.training.rows import TrainingRow
from xtf.training.storage import ExampleWriter, StoredExamples


def needs_reference(request: SignalRequest) -> bool:
    """Whether a signal is measured against another model, or along a direction."""
    return isinstance(request, LossDerivative) or request.reference is not None


class ReferenceModels:
    """Makes and loads what the signals of one scoring pass are measured against.

    :meth:`prepare` trains and differentiates the bare base, or :meth:`restore` finds what that made; only then do
    :meth:`reference` and :meth:`direction` put adapters on it, and :meth:`close` takes them off.

    Attributes:
        made: What :meth:`prepare` has made or found: a digest of what was asked for, to the name in the folder.
    """

    def __init__(self, folder: RunFolder, config: RunConfig, loaded: LoadedModel) -> None:
        self._folder, self._config, self._loaded = folder, config, loaded
        self._adapters = Adapters(loaded)
        self._models: dict[Reference, LoadedModel | Adapter] = {}
        self._directions: dict[LossDerivative, Direction] = {}
        self._folders: dict[Reference, Path] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self.made: dict[str, str] = {}

    def close(self) -> None:
        """Take every adapter off the base."""
        self._adapters.close()

    def prepare(self, requests: Iterable[SignalRequest]) -> None:
        """Train every reference and compute every direction that ``requests`` name and that is not there yet.

        Raises:
            DataError: a warm-up or target set that cannot be read, or has no response tokens.
            ModelError: training diverged, or an adapter does not fit.
        """
        requests = sorted(requests, key=repr)
        for spec in references_of(requests):
            if spec.is_trained_here:
                self._trained(spec)
        for request in requests:
            if isinstance(request, LossDerivative):
                self._directions[request] = self._direction(request)

    def restore(self, requests: Iterable[SignalRequest], made: Mapping[str, str]) -> None:
        """Find what :meth:`prepare` has ``made`` for ``requests``, without the examples that it was made from.

        Raises:
            RunError: the folder lacks some of it.
        """
        requests = sorted(requests, key=repr)
        for spec in references_of(requests):
            if spec.is_trained_here:
                folder = reference_folder(self._folder, made.get(_asked(spec), "?"))
                if not folder.is_dir():
                    raise RunError(f"{folder}: missing: {spec.shown}. Save the scorer again, or fit it anew.")
                self._folders[spec] = folder
        for request in requests:
            if isinstance(request, LossDerivative):
                key = made.get(_asked(request), "?")
                direction = self._folder.read_tensors(key)
                if direction is None:
                    raise RunError(
                        f"{self._folder.tensors_path(key)}: missing or damaged: the direction of "
                        f"{request.target.shown}. Save the scorer again, or fit it anew."
                    )
                self._directions[request] = direction

    def reference(self, spec: Reference) -> LoadedModel | Adapter:
        """The model of a reference, or the adapter that makes the base it; each is loaded once."""
        if spec not in self._models:
            self._models[spec] = self._load(spec, self._adapters)
        return self._models[spec]

    def direction(self, request: LossDerivative) -> tuple[Direction, Adapter | None]:
        """The direction of a derivative, and the adapter it is taken at."""
        return self._directions[request], self._point(request, self._adapters)

    def record(self, signal_pass: SignalPass) -> None:
        """Write into the manifest how references and derivatives came about."""
        if facts := self.facts(signal_pass):
            self._folder.update_manifest(references=facts)

    def facts(self, signal_pass: SignalPass | None = None) -> dict[str, dict[str, Any]]:
        """How references came about so far, and the derivatives of a pass."""
        for request, tangent in signal_pass.tangents.items() if signal_pass is not None else ():
            shown = f"{request.target.shown}, {request.parameters}, {request.preconditioner}"
            self._facts[f"derivative along {shown}"] = {"mode": tangent.mode, "note": tangent.note}
        return self._facts

    # -- references ------------------------------------------------------------------------------------------------

    def _load(self, spec: Reference, adapters: Adapters) -> LoadedModel | Adapter:
        if spec.in_training:
            return self._loaded  # training has yet to begin
        if spec.is_trained_here:
            return adapters.load(self._trained(spec), spec.shown, check_base=False)
        if spec.adapter is not None:
            return adapters.load(Path(spec.adapter).expanduser(), spec.shown)
        assert spec.path is not None
        if self._is_adapter_on_base(Path(spec.path).expanduser()):
            return adapters.load(Path(spec.path).expanduser(), spec.shown)
        settings = {"path": spec.path, "tokenizer": None, "revision": None}
        return load_model(self._config.model.model_copy(update=settings))

    def _is_adapter_on_base(self, folder: Path) -> bool:
        if (folder / "config.json").exists():
            return False
        base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
        return bool(base) and base == getattr(self._loaded.model.config, "_name_or_path", None)

    def _trained(self, spec: Reference) -> Path:
        """The folder of the adapter that ``spec`` asks to train, after training it unless it is there."""
        if spec in self._folders:
            return self._folders[spec]
        examples = self._warm_up(spec)
        key = self.made[_asked(spec)] = self._key("reference", spec.model_dump(mode="json"), _digest_of(examples))
        folder = reference_folder(self._folder, key).parent
        with _named(spec):
            self._facts[f"references/{key}"] = {"what": spec.shown, **self._train(spec, examples, folder, key)}
        self._folders[spec] = folder / "model"
        return self._folders[spec]

    def _train(
        self, spec: Reference, examples: Sequence[TokenizedExample], folder: Path, fingerprint: str
    ) -> dict[str, Any]:
        from xtf.training import TrainingJob, train_model

        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not (folder / "done.json").exists():
            raise ModelError("a launch over several processes cannot train it. Make it first in one: xtf score CONFIG")
        rows = _ResponsesLearnt(examples)
        with train_model(
            self._loaded.model,
            self._loaded.tokenizer,
            rows,
            _training(spec, str(self._loaded.dtype)),
            TrainingJob(folder, fingerprint, spec.seed, progress=True),
        ) as done:
            losses = {"first_loss": done.losses[0], "last_loss": done.losses[-1]} if done.losses else {}
            return {"steps": done.steps, "examples": len(rows), "seconds": done.seconds, **losses}

    # -- directions ------------------------------------------------------------------------------------------------

    def _direction(self, request: LossDerivative) -> Direction:
        examples = self._examples(request.target.path, request.target.share, last=True)
        point = _content(request.adapter) if request.adapter is not None else ""
        if request.adapter is not None and request.adapter.is_trained_here:
            point = self._trained(request.adapter).parent.name
        spec = {**asdict(request), "target": "", "adapter": point, "mode": "auto"}  # the way down the same direction
        key = self.made[_asked(request)] = f"direction-{self._key('direction', spec, _digest_of(examples))}"
        direction: Direction | None = self._folder.read_tensors(key)
        if direction is None:
            with Adapters(self._loaded) as adapters:
                adapter = self._point(request, adapters)
                if adapter is None:
                    direction = task_direction(Forward(self._loaded), request, examples)
                else:
                    with adapter.on():
                        direction = task_direction(Forward(self._loaded), request, examples, adapter.name)
            self._folder.write_tensors(key, direction)
        return direction

    def _point(self, request: LossDerivative, adapters: Adapters) -> Adapter | None:
        if request.parameters != "lora":
            return None
        if request.adapter is None:
            return adapters.fresh(request.r, request.seed)
        loaded = (
            self.reference(request.adapter) if adapters is self._adapters else self._load(request.adapter, adapters)
        )
        assert isinstance(loaded, Adapter)  # the attribute's parameters were checked
        return loaded

    # -- examples --------------------------------------------------------------------------------------------------

    def _warm_up(self, spec: Reference) -> Sequence[TokenizedExample]:
        if spec.without_fold is None:
            return self._examples(spec.train_on, spec.share, last=False)
        left_out, folds = spec.without_fold
        tables = (self._folder.read_shard("tokens", record) for record in self._folder.records("tokens"))
        found = self._stored([e for e in examples_of(t) if fold_of(e.example_id, folds) != left_out] for t in tables)
        if not found:
            raise DataError(f"{spec.shown}: no example lies in another fold. Give more examples, or fewer folds.")
        return found

    def _examples(self, path: str | None, share: float | None, *, last: bool) -> Sequence[TokenizedExample]:
        if path is not None:
            source = self._config.data.model_copy(update={"path": path, "limit": None})
            with busy(f"Reading {source.place}"):
                return list(read_examples(source, self._loaded.tokenizer, DataReport()))
        assert share is not None
        total = sum(record.rows for record in self._folder.records("tokens"))
        wanted = min(total, max(1, round(share * total)))
        return self._stored(self._cut(total - wanted if last else 0, wanted))

    def _cut(self, first: int, count: int) -> Iterator[list[TokenizedExample]]:
        """``count`` examples of the run from ``first`` on, shard by shard."""
        start = 0
        for record in self._folder.records("tokens"):
            inside = slice(max(first - start, 0), max(first + count - start, 0))
            start += record.rows
            if inside.start < min(inside.stop, record.rows):
                yield examples_of(self._folder.read_shard("tokens", record))[inside]

    def _stored(self, parts: Iterable[list[TokenizedExample]]) -> StoredExamples:
        """Examples in a file that vanishes, for a share of the data may be larger than memory."""
        writer = ExampleWriter(self._folder.state)
        for part in parts:
            if part:
                writer.append(*flat_tokens(tokens_table(part)))
        return writer.stored()

    def _key(self, *parts: object) -> str:
        return digest(self._loaded.fingerprint, tokenizer_fingerprint(self._loaded.tokenizer), *parts)


class _ResponsesLearnt(Sequence[TrainingRow]):
    """A row for each example, all of whose response tokens are learnt, made when it is asked for."""

    def __init__(self, examples: Sequence[TokenizedExample]) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    @overload
    def __getitem__(self, index: int) -> TrainingRow: ...
    @overload
    def __getitem__(self, index: slice) -> _ResponsesLearnt: ...
    def __getitem__(self, index: int | slice) -> TrainingRow | _ResponsesLearnt:
        if isinstance(index, slice):
            return _ResponsesLearnt(self._examples[index])
        one = self._examples[index]
        return TrainingRow(one.example_id, one.input_ids, one.is_response.astype(np.float32), one.is_response)


def reference_folder(folder: RunFolder, key: str) -> Path:
    """Where a run keeps the adapter that it has trained under a key of :attr:`ReferenceModels.made`."""
    return folder.path / "references" / key / "model"


def made_for(requests: Iterable[SignalRequest], made: Mapping[str, str]) -> dict[str, str]:
    """Of what is ``made`` (:attr:`ReferenceModels.made`), as much as ``requests`` ask for."""
    requests = list(requests)
    keys = [_asked(spec) for spec in references_of(requests)]
    keys += [_asked(request) for request in requests if isinstance(request, LossDerivative)]
    return {key: made[key] for key in sorted(keys) if key in made}


def are_made(requests: Iterable[SignalRequest], made: Mapping[str, str], folder: RunFolder) -> bool:
    """Whether all that ``requests`` ask a run to make is ``made`` and lies in its folder, undamaged."""
    requests = list(requests)
    adapters = [made.get(_asked(spec)) for spec in references_of(requests) if spec.is_trained_here]
    directions = [made.get(_asked(request)) for request in requests if isinstance(request, LossDerivative)]
    return all(key is not None and reference_folder(folder, key).is_dir() for key in adapters) and all(
        key is not None and folder.read_tensors(key) is not None for key in directions
    )


def _asked(asked: Reference | LossDerivative) -> str:
    return digest(repr(asked))


def references_of(requests: Iterable[SignalRequest]) -> list[Reference]:
    """Every distinct reference that signal requests name, in order."""
    named = [r.adapter if isinstance(r, LossDerivative) else r.reference for r in requests]
    return list(dict.fromkeys(spec for spec in named if spec is not None))


def reference_contents(requests: Iterable[SignalRequest], config: RunConfig) -> dict[str, str]:
    """Fingerprints of the models and adapters that requests name and the run does not make itself.

    Raises:
        ModelError: one of them does not exist.
    """
    specs = [spec for spec in references_of(sorted(requests, key=repr)) if not spec.is_trained_here]
    return {spec.shown: _content(spec, config) for spec in specs}


def _content(spec: Reference, config: RunConfig | None = None) -> str:
    if spec.adapter is not None:
        return folder_fingerprint(Path(spec.adapter).expanduser())
    if spec.path is None or config is None:
        return ""
    return model_fingerprint(config.model.model_copy(update={"path": spec.path, "revision": None}))


@contextmanager
def _named(spec: Reference) -> Iterator[None]:
    """Say of which reference an error speaks."""
    try:
        yield
    except (ConfigError, ModelError) as error:
        raise type(error)(f"{spec.shown}: {error}") from error


def _training(spec: Reference, dtype: str) -> TrainingConfig:
    return TrainingConfig(
        lora=LoraSettings.model_validate(spec.model_dump(include={"r", "alpha", "dropout", "target_modules"})),
        learning_rate=spec.learning_rate,
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        max_steps=spec.steps,
        schedule=spec.schedule,
        warmup_ratio=spec.warmup_ratio,  # 0 by default: one update of warm-up would be all of a training of one step
        dtype="bfloat16" if dtype == "torch.bfloat16" else "float32",
    )


def _digest_of(examples: Sequence[TokenizedExample]) -> str:
    whole = hashlib.sha256()
    for example in examples:
        whole.update(len(example).to_bytes(8, "little"))
        whole.update(example.input_ids.tobytes() + example.is_response.tobytes())
    return whole.hexdigest()

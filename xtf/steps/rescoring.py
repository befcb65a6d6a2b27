"""Scores and labels of the model in training, for ``training.rescore_steps``.

A scorer is *re-scored* if every signal it reads is of a prediction, of attention or of hidden states, and one of them
is of the model in training: what it asks of the base, unless it names the model in training by a :class:`Reference`
itself (``in_training``), or could (``base_stays``); then the base stays the base. Signals of other models are read
once, before training. Every other scorer keeps its first score, and its cut as fitted to all rows. Cuts of re-scored
attributes and the rule are fitted anew to the rows of a block, and only to those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from xtf.attribute import Attribute, LogProbAlone, SignalRequest, Signals
from xtf.attribute.registry import AnyAttribute
from xtf.attribute.signals import AttentionSignal, PredictionSignal, StateSignal
from xtf.config import RunConfig
from xtf.data.arrays import ArrayFile
from xtf.engine.batches import CPU_TOKENS, ENOUGH_TOKENS
from xtf.engine.fit import EngineFitContext
from xtf.engine.score import checked_scores, run_batches
from xtf.errors import ConfigError, PluginError, listed
from xtf.files import digest
from xtf.labelling import LabelRules, judge
from xtf.labelling.combiners import Panel
from xtf.labelling.cuts import fit_cuts
from xtf.labelling.decisions import Decisions
from xtf.labelling.distribution import measure
from xtf.labelling.rules import combiner_of
from xtf.labelling.shard import ScoredShard
from xtf.model import Embedder, LoadedModel, SignalPass
from xtf.model.head import base_of
from xtf.progress import progress
from xtf.runs import RunReader
from xtf.runs.decisions import read_decisions
from xtf.runs.tables import shard_of
from xtf.steps.references import ReferenceModels
from xtf.steps.scorers import build_attributes
from xtf.tokens import FloatArray, TokenBatch, TokenizedExample
from xtf.training import Labelling
from xtf.training.loss import scoring_forward
from xtf.training.storage import Pieces

if TYPE_CHECKING:
    import torch

_OF_THE_MODEL = (PredictionSignal, AttentionSignal, StateSignal, LogProbAlone)
_AT_ONCE = 256
"""Examples whose signals of other models are read before they are written down."""


def why_not_rescored(attribute: AnyAttribute) -> str | None:
    """Why a scorer keeps its first score in training; None if it is scored anew."""
    requests = attribute.requires()
    other = sorted({request.name for request in requests if not isinstance(request, _OF_THE_MODEL)})
    if other:
        return f"reads {listed(other)}, which is not read of the model in training"
    if attribute.base_stays and not current_signals(attribute):
        return "compares models that stay as they are, none of them {in_training: true}"
    if not current_signals(attribute):
        return "reads nothing of the model in training"
    if type(attribute).fit is not Attribute.fit and not attribute.rescores:
        return "is fitted once, before training"
    return None


def current_signals(attribute: AnyAttribute) -> set[SignalRequest]:
    """The signals of a scorer that are the model's in training; the others are of models that stay as they are."""
    requests = attribute.requires()
    named = {r for r in requests if r.reference is not None and r.reference.in_training}
    if named or attribute.base_stays:
        return named
    return {request for request in requests if request.reference is None}


class Rescorer:
    """What all arms share: the scorers, the examples, and what of them stays the same in training.

    Args:
        run: Scored.
        config: With ``training.rescore_steps``.
        examples: Those of the run, from the first.
        loaded: The base.

    Raises:
        PluginError: an attribute of the run is not installed, such as a scorer that was given as an object.
    """

    def __init__(
        self, run: RunReader, config: RunConfig, examples: Sequence[TokenizedExample], loaded: LoadedModel
    ) -> None:
        self._run, self._config, self._examples, self._loaded = run, config, examples, loaded
        attributes = build_attributes(config)
        self.kept = {name: why for name, one in attributes.items() if (why := why_not_rescored(one)) is not None}
        self.scorers = {name: one for name, one in attributes.items() if name not in self.kept}
        self.used: set[str] = set()
        self._model: Any = None

    def labels_of(self, rules: LabelRules) -> RescoredLabels:
        """How an arm is labelled anew.

        Args:
            rules: As fitted to all rows of the run.

        Raises:
            ConfigError: no attribute that counts in them can be scored anew.
        """
        names = _deciding(rules)
        if not names & self.scorers.keys():
            why = "; ".join(f"{name} {self.kept[name]}" for name in rules.attributes if name in names)
            raise ConfigError(
                f"training.rescore_steps: no attribute that decides can be scored anew: {why or 'none decides'}. "
                "Leave it out, or label by an attribute of the model, such as dft"
            )
        self.used |= names
        entries = {entry["name"]: entry["fingerprint"] for entry in self._run.manifest["attributes"]}
        assert self._config.training is not None
        made_from = {name: entries[name] for name in sorted(names)}
        decisions = read_decisions(self._run.folder)
        heeded = [one.to_dict() for one in decisions.verdicts]
        parts = rules.to_dict(), made_from, self._config.training.rescore_steps, *([heeded] if heeded else [])
        counted = tuple(name for name in rules.attributes if name in names)
        return RescoredLabels(self, rules, counted, digest(*parts), decisions)

    def prepare(self) -> None:
        """Read the signals of other models and the first scores, once, while the model is still the base."""
        _ = self._fixed, self._first_scores

    def scores(self, model: Any, places: Sequence[int], names: Sequence[str]) -> ScoredShard:
        """The examples at ``places`` with the scores of ``names``: of the model in training, or the first ones."""
        examples = [self._examples[place] for place in places]
        found = {
            name: np.concatenate([self._first_scores[name][place] for place in places])
            for name in names
            if name in self.kept
        }
        anew = {name: self.scorers[name] for name in names if name in self.scorers}
        with scoring_forward(model):
            found |= self._scored_anew(model, examples, places, anew)
        return shard_of(examples, found)

    def _scored_anew(
        self,
        model: Any,
        examples: Sequence[TokenizedExample],
        places: Sequence[int],
        scorers: Mapping[str, AnyAttribute],
    ) -> dict[str, FloatArray]:
        signal_pass, context = self._ready(model)
        for scorer in scorers.values():
            if type(scorer).fit is not Attribute.fit:
                context.examples = examples
                scorer.fit(context)
        found = {name: [np.zeros(0, np.float32)] * len(examples) for name in scorers}
        for rows, signals in run_batches(examples, signal_pass, self._budget):
            for name, scorer in scorers.items():
                values = checked_scores(name, scorer, self._signals_for(scorer, signals, [places[row] for row in rows]))
                for row, position in enumerate(rows):
                    found[name][position] = values[row, : len(examples[position])]
        return {name: np.concatenate(pieces) for name, pieces in found.items()}

    def _ready(self, model: Any) -> tuple[SignalPass, EngineFitContext]:
        """The pass over the model in training, and what scorers are fitted by; the same for the same model."""
        if self._model is not model:
            base = base_of(model)
            parameter = next(base.parameters())
            loaded = LoadedModel(base, self._loaded.tokenizer, "in training", parameter.dtype, parameter.device)
            current = {request for name in self._anew for request in current_signals(self.scorers[name])}
            self._pass = SignalPass(loaded, current, lambda _: loaded)
            self._context = EngineFitContext(
                [], loaded, Embedder(loaded), seed=self._config.seed, columns=self._config.data.columns
            )
            self._model = model
        return self._pass, self._context

    def _signals_for(self, scorer: AnyAttribute, signals: Signals, places: Sequence[int]) -> Signals:
        current = current_signals(scorer)
        return Signals(
            signals.tokens,
            {
                request: signals[request] if request in current else self._spread(request, signals.tokens, places)
                for request in scorer.requires()
            },
            signals.decode,
        )

    def _spread(self, request: SignalRequest, tokens: TokenBatch, places: Sequence[int]) -> torch.Tensor:
        """A signal of another model, as it was read, ``(batch, seq)``."""
        import torch

        values = torch.full(tokens.input_ids.shape, torch.nan)
        for row, place in enumerate(places):
            piece = self._fixed[request][place]
            values[row, : len(piece)] = torch.from_numpy(piece)
        return values.to(tokens.input_ids.device)

    @property
    def _anew(self) -> list[str]:
        """The attributes that some arm needs scored anew."""
        return [name for name in self.scorers if name in self.used]

    @property
    def _budget(self) -> int:
        """Padded tokens at once: one number, so that the same rows are read in the same batches again."""
        usual = CPU_TOKENS if self._loaded.device.type == "cpu" else ENOUGH_TOKENS
        return self._config.scoring.tokens_per_batch or usual

    @cached_property
    def _first_scores(self) -> dict[str, Pieces]:
        """The scores of the run, of the attributes that keep them."""
        names = [name for name in self.kept if name in self.used]
        files = {name: ArrayFile(self._run.folder.state, np.float32) for name in names}
        for shard in self._run.shards(names) if names else ():
            for name, file in files.items():
                file.append(shard.scores[name])
        return {name: Pieces(file.mapped(), self._offsets) for name, file in files.items()}

    @cached_property
    def _fixed(self) -> dict[SignalRequest, Pieces]:
        """The signals of models other than the one in training, one number a token, on disk."""
        wanted: set[SignalRequest] = set()
        for name in self._anew:
            wanted |= self.scorers[name].requires() - current_signals(self.scorers[name])
        if not wanted:
            return {}
        files = {request: ArrayFile(self._run.folder.state, np.float32) for request in wanted}
        with closing(ReferenceModels(self._run.folder, self._config, self._loaded)) as references:
            references.prepare(wanted)
            signal_pass = SignalPass(self._loaded, wanted, references.reference)
            with progress("Reading other models", len(self._examples), "examples") as advance:
                for start in range(0, len(self._examples), _AT_ONCE):
                    part = [self._examples[place] for place in range(len(self._examples))[start : start + _AT_ONCE]]
                    for request, values in self._read(signal_pass, part).items():
                        files[request].append(values)
                    advance(len(part))
        return {request: Pieces(file.mapped(), self._offsets) for request, file in files.items()}

    def _read(self, signal_pass: SignalPass, examples: Sequence[TokenizedExample]) -> dict[SignalRequest, FloatArray]:
        found = {request: [np.zeros(0, np.float32)] * len(examples) for request in signal_pass.requests}
        for rows, signals in run_batches(examples, signal_pass, self._budget):
            for request, values in signals.items():
                if values.ndim != 2 or not values.is_floating_point():
                    raise PluginError(
                        f"training.rescore_steps: {request} of a model that stays as it is has more than one number "
                        "for a token, which cannot be kept while another trains"
                    )
                for row, position in enumerate(rows):
                    found[request][position] = values[row, : len(examples[position])].float().cpu().numpy()
        return {request: np.concatenate(pieces) for request, pieces in found.items()}

    @cached_property
    def _offsets(self) -> Any:
        """``(examples + 1,)`` where each example begins, end to end."""
        lengths = [len(self._examples[place]) for place in range(len(self._examples))]
        return np.cumsum([0, *lengths]).astype(np.int64)


@dataclass(frozen=True, slots=True)
class RescoredLabels:
    """How the examples of one arm are labelled anew; see :class:`xtf.training.arms.Rescoring`.

    Attributes:
        rescorer: Where scores come from.
        first: The rules as fitted to all rows by their first scores.
        names: The attributes that count, in their order.
        fingerprint: Of all that decides the labels but for the model.
        decisions: What people decided on the run, which goes before the rules here too.
    """

    rescorer: Rescorer
    first: LabelRules
    names: tuple[str, ...]
    fingerprint: str
    decisions: Decisions

    def prepare(self) -> None:
        """Read what stays the same in training."""
        self.rescorer.prepare()

    def label(self, model: Any, places: Sequence[int]) -> Labelling:
        """Score, cut and judge the examples at ``places`` as one corpus.

        Raises:
            ConfigError: the scores do not allow a cut.
        """
        shard = self.rescorer.scores(model, places, self.names)
        try:
            labels = judge(self._rules(shard), shard, self.decisions)
        except ConfigError as error:
            why = "; ".join(error.problems)
            raise ConfigError(
                f"training.rescore_steps: the {len(places)} rows of a block are too few for this cut: {why}. Cut "
                "at fixed numbers, or score more rows at once with a larger training.rescore_steps or batch_size"
            ) from None
        cut = partial(np.split, indices_or_sections=shard.offsets[1:-1])
        return Labelling(cut(labels.noise), cut(labels.weights))

    def _rules(self, shard: ScoredShard) -> LabelRules:
        anew = [name for name in self.names if name in self.rescorer.scorers]

        def shards() -> Iterator[ScoredShard]:
            yield shard

        distributions = {**self.first.distributions, **measure(anew, shards)}
        cuts = fit_cuts({name: self.first.cuts[name].cut for name in anew}, shards, distributions)
        panel = Panel({**self.first.cuts, **cuts}, distributions)
        return LabelRules(panel, self.first.combine, combiner_of(self.first.combine).fit(panel, shards))


def relabelled(
    rescorer: Rescorer, labelled: Mapping[str, Labelling], rules: Mapping[str, LabelRules]
) -> dict[str, Labelling]:
    """The labellings, those that have ``rules`` to be taken anew in training.

    Raises:
        ConfigError: one of them has no attribute that can be scored anew.
    """
    return {
        name: replace(one, rescoring=rescorer.labels_of(rules[name])) if name in rules else one
        for name, one in labelled.items()
    }


def _deciding(rules: LabelRules) -> set[str]:
    """The attributes whose scores count in a labelling: by a cut, by a weight, or in the combined score."""
    return {name for name, cut in rules.cuts.items() if cut.cut.decides} | set(
        rules.combine.attributes_named().values()
    )


def described(rescorer: Rescorer) -> dict[str, Any]:
    """What ``metrics.json`` says: which attributes are scored anew, and why others that count keep their scores."""
    return {
        "attributes": [name for name in rescorer.scorers if name in rescorer.used],
        "kept": {name: why for name, why in rescorer.kept.items() if name in rescorer.used},
    }

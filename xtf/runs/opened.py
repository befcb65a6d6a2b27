"""A run that exists on disk, opened for reading: explanations, summary, scores. No model and no tokenizer needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from xtf.attribute import Detail, registry
from xtf.attribute.registry import AnyAttribute
from xtf.config import RunConfig, parse_config, parse_yaml, read_settings_text
from xtf.display import command, visible
from xtf.errors import PluginError, RunError, did_you_mean
from xtf.explain import Describe, ExampleExplanation, explain_example
from xtf.labelling import LabelRules, LabelSummary, Tally
from xtf.labelling.distribution import Distribution
from xtf.labelling.shard import Labels, ScoredShard
from xtf.labelling.wrong import WrongShare, expect_wrong
from xtf.parallel import in_order
from xtf.runs.decisions import read_decisions
from xtf.runs.folder import RunFolder, ShardRecord
from xtf.runs.measured import read_distribution, read_rules
from xtf.runs.tables import labels_of, scored_shard
from xtf.runs.vocabulary import Vocabulary


class RunReader:
    """One run folder, opened for reading; :class:`xtf.Run` adds what shows it.

    Attributes:
        folder: Paths, shards and manifest.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        path = self.folder.config_path
        return _parsed(read_settings_text(path), str(path))

    @property
    def manifest(self) -> dict[str, Any]:
        """Versions, fingerprints, counts and stages done."""
        return self.folder.manifest()

    @property
    def is_scored(self) -> bool:
        """Whether every shard has been scored and the scores have been measured."""
        return bool(self.manifest.get("stages", {}).get("score", {}).get("done"))

    @property
    def is_labelled(self) -> bool:
        """Whether every shard has its labels under the rules that are kept."""
        return bool(self.manifest.get("stages", {}).get("label", {}).get("done"))

    @property
    def rules_fingerprint(self) -> str | None:
        """Of the rules that made the labels; None before there are any."""
        fingerprint: str | None = self.manifest.get("stages", {}).get("label", {}).get("rules")
        return fingerprint

    @property
    def metrics(self) -> dict[str, Any]:
        """What training and evaluation measured.

        Raises:
            RunError: if the run has not trained anything.
        """
        if not self.folder.metrics_path.exists():
            raise RunError(f"{self.path}: no metrics yet. Train with: {command('xtf', 'train', self.path)}")
        try:
            loaded = json.loads(self.folder.metrics_path.read_text(encoding="utf-8"))
            if not isinstance(loaded, dict) or not isinstance(loaded.get("arms"), list):
                raise ValueError("holds no arms")
        except ValueError as error:
            again = command("xtf", "train", self.path)
            raise RunError(f"{self.folder.metrics_path}: damaged: {error}. Write it again: {again}") from None
        return loaded

    @property
    def detection(self) -> dict[str, Any] | None:
        """What comparing the run with a truth file measured; None if it never was.

        Raises:
            RunError: ``detection.json`` is damaged.
        """
        path = self.folder.detection_path
        if not path.exists():
            return None
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(loaded, dict) or not isinstance(loaded.get("found"), list):
                raise ValueError("holds no rows")
        except ValueError as error:
            again = f"{command('xtf', 'evaluate', self.path)} --truth FILE"
            raise RunError(f"{path}: damaged: {error}. Write it again: {again}") from None
        return loaded

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What each token id spells."""
        return Vocabulary.read(self.folder.vocabulary_path)

    @property
    def scored(self) -> list[str]:
        """The attributes that have a score here: those of the configuration, or none in a warm-up round."""
        return [] if self.manifest.get("round", {}).get("warm_up") else list(self.config.attributes)

    @property
    def evolves(self) -> bool:
        """Whether this run scores and trains in rounds (``strategy: self_evolving``)."""
        return self.config.strategy.kind == "self_evolving"

    @property
    def parts(self) -> list[Self]:
        """The run itself; or the rounds of a self-evolving run finished so far, each a run of its own."""
        if not self.evolves:
            return [self]
        rounds = self.manifest.get("rounds", [])
        return [type(self)(RunFolder(self.path / "rounds" / f"{entry['round']:02}")) for entry in rounds]

    @property
    def rules(self) -> LabelRules:
        """The fitted cuts and the combiner that made the labels.

        Raises:
            RunError: if the run has not been labelled since its attributes changed, or has rules for each round.
        """
        if self.evolves:
            raise RunError(
                f"{self.path}: a self-evolving run has scores and cuts of its own in each round. Give one of its "
                f"rounds instead, for example {self.path / 'rounds' / '01'}"
            )
        rules = read_rules(self.folder, self.distributions)
        if set(rules.attributes) != set(self.scored):
            raise RunError(
                f"{self.path}: the labels rest on {', '.join(rules.attributes)}, but the scores are now those of "
                f"{', '.join(self.scored)}. Make the labels again: {command('xtf', 'label', self.path)}"
            )
        return replace(rules, deciders=read_decisions(self.folder).deciders)

    @property
    def details(self) -> dict[str, dict[str, Detail]]:
        """For each scored attribute that has details, what each of them means."""
        return {
            entry["name"]: {name: Detail(**{**d, "names": tuple(d["names"])}) for name, d in entry["details"].items()}
            for entry in self.manifest.get("attributes", [])
            if entry.get("details") and entry["name"] in self.scored
        }

    @property
    def detail_columns(self) -> list[str]:
        """The columns ``ATTRIBUTE.DETAIL`` of ``scores/``."""
        return [f"{name}.{detail}" for name, details in self.details.items() for detail in details]

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """For each attribute that says which kind of mistake a token looks like, their names, by column ``kind``."""
        found = {name: details["kind"] for name, details in self.details.items() if "kind" in details}
        return {name: kind.names for name, kind in found.items() if kind.kind == "category"}

    @property
    def probabilities(self) -> list[str]:
        """The attributes whose scores are probabilities that a token is right."""
        entries = self.manifest.get("attributes", [])
        return [entry["name"] for entry in entries if entry.get("is_probability") and entry["name"] in self.scored]

    def expected_wrong(self) -> list[WrongShare]:
        """What each attribute whose scores are probabilities expects to be wrong, over the whole run."""
        found, kinds = [], self.kinds
        for name in self.probabilities:
            columns = [name, f"{name}.kind"] if name in kinds else [name]
            found.append(expect_wrong(self.shards(columns), name, kinds.get(name, ())))
        return found

    def distributions(self) -> dict[str, Distribution]:
        """The distribution of each attribute over the corpus."""
        return {name: read_distribution(self.folder, name) for name in self.scored}

    def shards(self, names: Sequence[str] | None = None) -> Iterator[ScoredShard]:
        """Every scored shard, in order, one at a time, with the scores and details of ``names`` (all scores)."""
        for part in self.parts:
            read = partial(part.read_scored, names=part.scored if names is None else list(names))
            yield from in_order(read, part.folder.records("scores"))

    def read_scored(self, record: ShardRecord, names: list[str]) -> ScoredShard:
        """One shard of tokens with its scores.

        Raises:
            RunError: the shard's tokens are missing.
        """
        tokens = self.folder.record("tokens", record.index)
        if tokens is None:
            raise RunError(f"{self.folder.shard_path('tokens', record.index)}: missing. Score again to repair it.")
        return scored_shard(
            self.folder.read_shard("tokens", tokens),
            self.folder.read_shard("scores", record, ["example_id", *names]),
            names,
        )

    def labelled(self, names: Sequence[str] | None = None) -> Iterator[tuple[ScoredShard, Labels]]:
        """Every shard and its labels as written, in order, with the scores of ``names`` (default: all).

        Raises:
            RunError: if the run has not been labelled to the end, or a shard is missing or damaged.
        """
        for part in self.parts:
            read = partial(part._read_labelled, noise_weight=part.rules.combine.noise_weight, names=names)
            yield from in_order(read, part.folder.records("scores"))

    def _read_labelled(
        self, record: ShardRecord, noise_weight: float, names: Sequence[str] | None = None
    ) -> tuple[ScoredShard, Labels]:
        shard = self.read_scored(record, self.scored if names is None else list(names))
        labels, verdicts = (self.folder.record(kind, record.index) for kind in ("labels", "verdicts"))
        if not self.is_labelled or labels is None or verdicts is None:
            again = command("xtf", "label", self.path)
            raise RunError(f"{self.path}: not labelled to the end. Label it again: {again}")
        return shard, labels_of(
            shard, self.folder.read_shard("labels", labels), self.folder.read_shard("verdicts", verdicts), noise_weight
        )

    def example_ids(self) -> Iterator[str]:
        """The id of every example, in order."""
        for record in self.folder.records("tokens"):
            yield from self.folder.read_shard("tokens", record, ["example_id"])["example_id"].to_pylist()

    def explain(self, example_id: str | None = None) -> ExampleExplanation:
        """Why each token of one example, the first if none is named, is kept or masked.

        Raises:
            RunError: if the run has no such example or no labels.
        """
        from xtf.runs.staleness import stale_labels

        part, shard, labels = self._find(example_id if example_id is not None else next(self.example_ids(), ""))
        texts = self.vocabulary.spell(shard.input_ids)
        found = explain_example(part.rules, shard, labels, texts, part.phrases(shard))
        return replace(found, stale=stale_labels(part))

    def summary(self) -> LabelSummary:
        """Shares masked, overlaps, and the tokens most often masked and kept, over the whole run.

        Raises:
            RunError: the run is not labelled, or no round of it is finished.
        """
        tally, parts = Tally(), self.parts
        if not parts:
            again = command("xtf", "run", self.folder.config_path)
            raise RunError(f"{self.path}: no round is finished yet. Go on with: {again}")
        from xtf.runs.staleness import stale_labels

        for shard, labels in self.labelled(names=[]):
            tally.add(shard, labels)
        return replace(tally.result(parts[-1].rules.attributes), stale=stale_labels(self))

    def phrases(self, shard: ScoredShard) -> dict[str, Describe]:
        """For each attribute whose scorer is installed here, the function that puts a token of ``shard`` into words.

        ``shard`` has its details (:attr:`detail_columns`).
        """
        found: dict[str, Describe] = {}
        for name, attribute in self._scorers.items():
            details = self._details.get(name)
            if not details:
                found[name] = partial(_describe, attribute)
                continue
            found[name] = partial(self._phrase, attribute, shard, {f"{name}.{d}": one for d, one in details.items()})
        return found

    def _phrase(
        self, attribute: AnyAttribute, shard: ScoredShard, details: Mapping[str, Detail], score: float, index: int
    ) -> str:
        said = {
            column.partition(".")[2]: self._said(detail, shard.details[column][index])
            for column, detail in details.items()
            if column in shard.details
        }
        return attribute.describe_token(score, said) if len(said) == len(details) else attribute.describe(score)

    def _said(self, detail: Detail, value: Any) -> str | float:
        """A detail as scorers put it into words: a category's name, the text of a token, a probability."""
        if detail.kind == "category":
            return detail.names[int(value)] if 0 <= int(value) < len(detail.names) else "?"
        if detail.kind == "token":
            return self.vocabulary.alone(int(value)) if value >= 0 else "?"
        return float(value)

    @cached_property
    def _details(self) -> dict[str, dict[str, Detail]]:
        return self.details

    @cached_property
    def _scorers(self) -> dict[str, AnyAttribute]:
        found: dict[str, AnyAttribute] = {}
        for name, spec in self.config.attributes.items():
            try:
                found[name] = registry.build(name, spec)
            except PluginError:
                continue  # the run can be read where its scorer is not installed; its sentences lack these words
        return found

    def _find(self, example_id: str) -> tuple[Self, ScoredShard, Labels]:
        for part in self.parts:
            for record in part.folder.records("scores"):
                ids = part.folder.read_shard("scores", record, ["example_id"])["example_id"].to_pylist()
                if example_id in ids:
                    names = [*part.scored, *part.detail_columns]
                    shard, labels = part._read_labelled(record, part.rules.combine.noise_weight, names)
                    place = ids.index(example_id)
                    here = shard.tokens_of(place, place + 1)
                    return part, shard.example(place), labels.within(here)
        raise self.missing(example_id)

    def missing(self, example_id: str) -> RunError:
        """What to say of an example that is not among the scored ones."""
        first = list(islice(self.example_ids(), 1000))
        if first and all(known != example_id for known in self.example_ids()):
            return RunError(
                f"{self.path}: no example {example_id!r}.{did_you_mean(example_id, first)} "
                f"The first are: {', '.join(map(visible, first[:5]))}"
            )
        what = f"example {example_id!r} is not scored yet" if first else "nothing is scored yet"
        again = command("xtf", "run" if self.evolves else "score", self.folder.config_path)
        return RunError(f"{self.path}: {what}. Wait until scoring is done; if it was interrupted, go on with: {again}")


def _describe(attribute: AnyAttribute, score: float, index: int) -> str:
    """What a score means where nothing is known of its token."""
    return attribute.describe_token(score, {})


@lru_cache(maxsize=8)
def _parsed(text: str, where: str) -> RunConfig:
    """The configuration that a file's text is; a command asks for it some thirty times, and parsing takes long."""
    return parse_config(parse_yaml(text, where), where)

"""What a run has fitted, apart from its tokens, scores and labels: enough to treat other rows as it treated its own.

A run keeps it in ``state/`` (``fitted.json`` says what is where). :func:`save_fitted` copies it into a folder of its
own, whose ``scorer.json`` takes the place of the manifest. Corpus-wide cuts are in it as the numbers they came to.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from xtf.attribute.registry import AnyAttribute
from xtf.config import RunConfig, parse_config, read_yaml
from xtf.display import command
from xtf.engine.batches import TokenBudget, budget_path, fitting_tokens
from xtf.engine.score import requests_of
from xtf.errors import ModelError, PluginError, RunError
from xtf.files import digest, read_sealed_json, write_sealed_json
from xtf.labelling import LabelRules
from xtf.model import LoadedModel, load_model, tokenizer_fingerprint
from xtf.runs import RunReader
from xtf.runs.folder import RunFolder
from xtf.runs.measured import distribution_path, read_distribution, read_rules, rules_path
from xtf.runs.settings import write_config
from xtf.steps.fingerprints import code_fingerprint
from xtf.steps.references import are_made, made_for, reference_contents, reference_folder
from xtf.steps.scorers import Scorers, build_attributes

FORMAT = 1
NAME = "scorer.json"


@dataclass(frozen=True, slots=True)
class FittedScorers:
    """Fitted scorers, in a folder.

    Attributes:
        folder: Where their tensors are.
        config: What they were made by.
        facts: ``inputs`` of the run; of each of ``attributes`` its ``code`` and the tensors of its ``state``; what is
            ``made`` of references and directions; the ``contents`` of models that the run did not make.
    """

    folder: RunFolder
    config: RunConfig
    facts: Mapping[str, Any]

    @property
    def files(self) -> list[Path]:
        """The files and folders that they consist of, beside their configuration and these facts."""
        states = [entry["state"] for entry in self.facts["attributes"].values() if entry["state"] is not None]
        made = self.facts["made"].values()
        found = [self.folder.tensors_path(key) for key in (*states, *made)]
        found += [budget_path(self.folder), *(reference_folder(self.folder, key) for key in made)]
        return [path for path in found if path.exists()]

    def load(self, loaded: LoadedModel | None = None, kind: type[Scorers] = Scorers) -> Scorers:
        """Load the model, unless it is given, and restore what was fitted, as scorers of a kind.

        Raises:
            ModelError: the model or tokenizer is not the one that it was fitted with.
            PluginError: a scorer is not installed, or its code is not what it was fitted with.
            RunError: part of the folder is missing or damaged.
        """
        attributes = self._attributes()
        if loaded is None:
            settings = self.config.model.model_copy(update={"dtype": self.facts["inputs"]["dtype"]})
            loaded = load_model(settings)
        self._check_model(loaded)
        tokens = self.config.scoring.tokens_per_batch or fitting_tokens(loaded)
        budget = TokenBudget(self.folder, loaded.device.type, tokens, remembers=False)
        scorers = kind(self.folder, self.config, loaded, attributes, budget)
        scorers.references.restore(requests_of(attributes.values()), self.facts["made"])
        return scorers

    def _attributes(self) -> dict[str, AnyAttribute]:
        attributes = build_attributes(self.config)
        for name, attribute in attributes.items():
            entry = self.facts["attributes"][name]
            if entry["code"] != code_fingerprint(attribute):
                raise PluginError(
                    f"{self.folder.path}: attribute {name!r} was fitted by other code than is installed here. Install "
                    "the same versions, or fit the scorer again."
                )
            if entry["state"] is not None:
                state = self.folder.read_tensors(entry["state"])
                if state is None:
                    path = self.folder.tensors_path(entry["state"])
                    raise RunError(f"{path}: missing or damaged. Save the scorer again, or fit it anew.")
                attribute.load_state(state)
        contents = reference_contents(requests_of(attributes.values()), self.config)
        changed = [shown for shown, content in self.facts["contents"].items() if contents.get(shown) != content]
        if changed:
            raise ModelError(f"{changed[0]}: not the model that {self.folder.path} was fitted with. Fit it again.")
        return attributes

    def _check_model(self, loaded: LoadedModel) -> None:
        found = {"model": loaded.fingerprint, "tokenizer": tokenizer_fingerprint(loaded.tokenizer)}
        for what, fingerprint in found.items():
            if self.facts["inputs"][what] != fingerprint:
                raise ModelError(
                    f"{self.config.model.path}: not the {what} that {self.folder.path} was fitted with. Name that one "
                    "under model.path, or fit the scorer again."
                )


@dataclass(frozen=True, slots=True)
class Fitted(FittedScorers):
    """Fitted scorers with the cuts and the rule that judge what they score.

    Attributes:
        rules: Cuts and rule.
        fingerprint: Of all of it.
    """

    rules: LabelRules
    fingerprint: str


def record_fitted(folder: RunFolder, entries: Mapping[str, Mapping[str, Any]], made: Mapping[str, str]) -> None:
    """Keep in a run what of it is fitted, beside what was kept before; hold the run's ``fit.lock`` meanwhile.

    Args:
        folder: The run.
        entries: Of each attribute that is fitted, its ``fingerprint``, ``code``, and the tensors of its ``state``.
        made: See :class:`~xtf.steps.references.ReferenceModels`.
    """
    before = _recorded(folder)
    write_sealed_json(
        fitted_path(folder), {"attributes": {**before["attributes"], **entries}, "made": {**before["made"], **made}}
    )


def recorded_fitted(
    folder: RunFolder, config: RunConfig, fingerprints: Mapping[str, str], inputs: Mapping[str, str]
) -> FittedScorers | None:
    """What a run has recorded as fitted, be it scored or not; None if some is missing, damaged or of other scores.

    Args:
        folder: The run.
        config: Its configuration.
        fingerprints: Of each attribute's scores.
        inputs: Of the run.
    """
    facts = _facts(folder, config, fingerprints)
    if facts is None:
        return None
    attributes, entries = build_attributes(config), facts["attributes"]
    for name, attribute in attributes.items():
        state = entries[name]["state"]
        if entries[name]["code"] != code_fingerprint(attribute) or (state and folder.read_tensors(state) is None):
            return None
    if not are_made(requests_of(attributes.values()), facts["made"], folder):
        return None
    return FittedScorers(folder, config, {**facts, "inputs": inputs})


def open_fitted(path: str | Path) -> Fitted:
    """What a folder holds: a labelled run, or what :func:`save_fitted` wrote.

    Raises:
        RunError: it holds neither, is damaged, or was written by a newer version.
    """
    folder = RunFolder(path)
    if (folder.path / NAME).exists():
        facts = read_sealed_json(folder.path / NAME)
        if facts["format"] != FORMAT:
            raise RunError(f"{folder.path / NAME}: format {facts['format']!r}, this version reads {FORMAT}. Fit again.")
        config = parse_config(read_yaml(folder.config_path), str(folder.config_path))
        rules = read_rules(folder, lambda: {name: read_distribution(folder, name) for name in config.attributes})
        return _fitted(folder, config, facts, rules)
    if not folder.manifest_path.exists():
        raise RunError(
            f"{path}: neither a scorer nor a run: it holds no {NAME} and no manifest.json. Give a folder that "
            "Scorer.save wrote, or a labelled run; every process must see it under this path."
        )
    run = RunReader(folder)
    if not (run.is_scored and run.is_labelled) or run.evolves:
        why = "its rounds score by different models" if run.evolves else "not scored and labelled to the end"
        raise RunError(f"{path}: no scorer can be had from this run: {why}. Finish a run with strategy: fixed first.")
    return _fitted(folder, run.config, _facts_of(run), run.rules)


def save_fitted(fitted: Fitted, path: str | Path, overwrite: bool = False) -> Fitted:
    """Copy what was fitted into a folder of its own, which appears when it is complete.

    Args:
        fitted: What to save.
        path: The folder to write.
        overwrite: Replace a scorer that is there.

    Raises:
        RunError: the folder holds other files, or a scorer that must not be replaced.
    """
    target = Path(path)
    if target.exists() and not (overwrite and (target / NAME).exists()) and any(target.iterdir()):
        kind = "a scorer; overwrite=True replaces it" if (target / NAME).exists() else "other files"
        raise RunError(f"{target}: the folder holds {kind}. Choose another one.")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        copy = RunFolder(beside)
        for source in _files(fitted):
            place = beside / source.relative_to(fitted.folder.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, place) if source.is_dir() else shutil.copyfile(source, place)
        write_config(copy, fitted.config)
        write_sealed_json(beside / NAME, fitted.facts)
        beside.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return open_fitted(target)


def _facts_of(run: RunReader) -> dict[str, Any]:
    scored = {entry["name"]: entry["fingerprint"] for entry in run.manifest["attributes"]}
    facts = _facts(run.folder, run.config, scored)
    if facts is None:
        raise RunError(
            f"{fitted_path(run.folder)}: missing, damaged, or of other scores than lie beside it. Score the data again "
            f"into another folder: {command('xtf', 'run', run.folder.config_path)} --set output=runs/NAME"
        )
    return {"format": FORMAT, "inputs": run.manifest["inputs"], "versions": run.manifest["versions"], **facts}


def _facts(folder: RunFolder, config: RunConfig, fingerprints: Mapping[str, str]) -> dict[str, Any] | None:
    """What a run has recorded of the attributes of those fingerprints, or None if that is of other scores."""
    kept = _recorded(folder)
    entries = {name: kept["attributes"].get(name, {}) for name in fingerprints}
    if any(entry.get("fingerprint") != fingerprints[name] for name, entry in entries.items()):
        return None
    requests = requests_of(build_attributes(config).values())
    made, contents = made_for(requests, kept["made"]), reference_contents(requests, config)
    return {"attributes": entries, "made": made, "contents": contents}


def _recorded(folder: RunFolder) -> dict[str, Any]:
    try:
        return read_sealed_json(fitted_path(folder))
    except RunError:
        return {"attributes": {}, "made": {}}


def _fitted(folder: RunFolder, config: RunConfig, facts: Mapping[str, Any], rules: LabelRules) -> Fitted:
    settings = config.model_dump(mode="json", exclude={"output"})
    return Fitted(folder, config, facts, rules, digest(settings, facts, rules.to_dict()))


def _files(fitted: Fitted) -> list[Path]:
    """The files and folders that a scorer consists of, beside its configuration and its facts."""
    distributions = [distribution_path(fitted.folder, name) for name in fitted.facts["attributes"]]
    return [rules_path(fitted.folder), *distributions, *fitted.files]


def fitted_path(folder: RunFolder) -> Path:
    """Where a run keeps what of it is fitted, as names of tensors beside it."""
    return folder.state / "fitted.json"

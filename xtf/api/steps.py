"""The steps of a run, and all of them.

Each step reads what the step before it wrote, so every one can be repeated alone. Scoring loads the model; labelling
needs only scores; training needs only labels and the base model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xtf.api.configs import ConfigLike, Rows, changed, load_config, refuse_alone, refuse_unread, with_objects
from xtf.api.reading import Run, open_run
from xtf.attribute.registry import AnyAttribute
from xtf.config import apply_overrides, parse_config
from xtf.errors import ConfigError
from xtf.runs import RunReader
from xtf.runs.staleness import note_stale
from xtf.runs.worker import Worker
from xtf.steps.defaults import completed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from xtf.cluster import RayEngine
    from xtf.report.results import Detection, Metrics

_TRAINED = ("training", "evaluation", "arms")


def run(config: ConfigLike, *, overwrite: bool = False, **objects: Any) -> Run:
    """Score, label, and train if the configuration has a ``training`` section. See :func:`score` for the objects.

    With ``strategy: self_evolving`` the three take turns, round by round.

    Raises:
        ConfigError: scorer objects in a self-evolving run.
        XTFError: of the kind that names any other mistake.
    """
    scorers = objects.get("attributes")
    config = with_objects(config, objects.get("model"), objects.get("data"), scorers)
    if config.strategy.kind == "self_evolving":
        from xtf.steps.evolving import evolve_run
        from xtf.steps.preparing import Given

        if objects.pop("attributes", None):
            raise ConfigError("scorer objects cannot evolve: name the scorers under attributes (see xtf.register)")
        return Run(evolve_run(config, Given(**objects), overwrite).folder)
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
    shard: str | None = None,
    engine: Literal["plain", "ray"] | RayEngine = "plain",
) -> Run:
    """Tokenise and score; finished shards are kept, so starting again continues.

    Args:
        config: See :func:`load_config`.
        model: A model object to use instead of loading ``model.path``; needs ``tokenizer`` too.
        tokenizer: A tokenizer object.
        data: Rows (mappings, or a ``datasets.Dataset``) to use instead of reading ``data.path``.
        attributes: Scorer objects to use instead of building them from ``attributes``.
        overwrite: Delete another run in the same folder instead of refusing.
        shard: ``3/16`` scores every 16th shard, beginning with the third, beside processes that take the others.
            Processes of one ``accelerate launch`` share the work without it.
        engine: ``plain`` scores in this process; ``ray``, or a :class:`~xtf.cluster.RayEngine` with settings, on a Ray
            cluster, with the same result. Of objects it takes ``data`` alone.

    Raises:
        ConfigError: ``ray`` together with ``shard`` or objects that do not travel.
        XTFError: of the kind that names any other mistake.
    """
    from xtf.steps.preparing import Given
    from xtf.steps.scoring import score_run

    config = with_objects(config, model, data, attributes)
    refuse_alone("scored", config)
    if engine != "plain":
        from xtf.cluster.scoring import score_on_ray

        if shard is not None or attributes is not None:
            what = "shard" if shard is not None else "attributes"
            raise ConfigError(f"{what}: not with engine='ray', which shares the work and builds scorers by their names")
        scored = score_on_ray(config, Given(model, tokenizer, data), _ray_engine(engine), overwrite)
        note_stale(scored)
        return Run(scored.folder)
    worker = Worker.parse(shard) if shard is not None else None
    scored = score_run(config, Given(model, tokenizer, data), attributes, overwrite, worker)
    note_stale(scored)
    return Run(scored.folder)


def _ray_engine(engine: Any) -> RayEngine:
    from xtf.cluster import RayEngine

    if engine == "ray":
        return RayEngine()
    if isinstance(engine, RayEngine):
        return engine
    raise ConfigError(f"engine: {engine!r}: expected plain, ray, or an xtf.RayEngine")


def label(
    run: RunReader | str | Path,
    overrides: Sequence[str] = (),
    *,
    verdicts: str | Path | Sequence[str | Path] | None = (),
) -> Run:
    """Turn scores into labels; loads no model.

    Args:
        run: A scored run, or its folder.
        overrides: ``key=value`` texts that may change ``thresholds`` and ``combine``.
        verdicts: Files of what people decided, as the page gives them to download. They go before cuts, rules and
            guards, are kept with the run, and are added to those that it keeps already; None forgets all of them.

    Raises:
        ConfigError: an override changes what labelling does not read, or the scores do not allow a cut.
        DataError: a file of verdicts cannot be read, or speaks of other tokens.
        RunError: scoring has not finished, or something is damaged.
    """
    from xtf.labelling.decisions import Decisions
    from xtf.runs.decisions import check_deciders, read_decisions, read_verdicts
    from xtf.steps.labelling import label_run

    opened = run if isinstance(run, RunReader) else open_run(run)
    refuse_alone("labelled", opened.config)
    refuse_unread("labelling", ("thresholds", "combine"), overrides, "score again for the rest")
    config = opened.config
    merged = completed(apply_overrides(config.model_dump(mode="json"), overrides))
    decisions = Decisions()
    if verdicts is not None:
        files = [verdicts] if isinstance(verdicts, str | Path) else verdicts
        found = [one for file in files for one in read_verdicts(Path(file), opened.folder)]
        decisions = read_decisions(opened.folder).and_later(found)
        check_deciders(decisions)
    # scorers were checked when they scored; none is imported here
    labelled = label_run(opened, parse_config(merged), decisions)
    note_stale(labelled)
    return Run(labelled.folder)


def train(
    run: RunReader | str | Path,
    overrides: Sequence[str] = (),
    *,
    model: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Metrics:
    """Train and compare the arms of ``training``; returns what ``metrics.json`` holds.

    A self-evolving run goes through its rounds again; what the overrides do not change is kept.

    Args:
        run: A labelled run, or its folder.
        overrides: ``key=value`` texts that may change ``training``, ``evaluation`` and ``arms``; in a self-evolving
            run, which labels as it trains, ``thresholds``, ``combine`` and ``strategy`` too.
        model: A model object to train instead of loading ``model.path``; needs ``tokenizer`` too.
        tokenizer: A tokenizer object, instead of the model's own.

    Raises:
        ConfigError: there is no ``training`` section, or an override changes what training does not read.
        RunError: the run is not labelled.
    """
    from xtf.report.results import Metrics
    from xtf.steps.preparing import Given
    from xtf.steps.training import train_run

    opened = run if isinstance(run, RunReader) else open_run(run)
    sections = (*_TRAINED, "thresholds", "combine", "strategy") if opened.evolves else _TRAINED
    refuse_unread("training", sections, overrides, "score or label again for the rest")
    if opened.evolves:
        from xtf.steps.evolving import evolve_again

        return Metrics(evolve_again(opened, load_config(opened.config, overrides), Given(model, tokenizer)).metrics)
    config = changed(opened, overrides)
    if config.training is None:
        raise ConfigError(
            f"{opened.folder.config_path}: no training section. Add one, or use for example --set 'training.arms=[xtf]'"
        )
    metrics = Metrics(train_run(opened, config, Given(model, tokenizer)))
    note_stale(opened)
    return metrics


def evaluate(run: RunReader | str | Path, overrides: Sequence[str] = ()) -> Metrics:
    """Evaluate every trained arm again; ``overrides`` may change ``evaluation``. Returns what ``metrics.json`` holds.

    Raises:
        RunError: if the run has not trained anything.
    """
    from xtf.report.results import Metrics
    from xtf.steps.preparing import Given
    from xtf.steps.training import train_run

    opened = run if isinstance(run, RunReader) else open_run(run)
    refuse_unread("evaluation", ("evaluation",), overrides, "train again for the rest")
    _ = opened.metrics  # refuses a run without trained arms; those that it has are loaded, not trained again
    if opened.evolves:
        return train(opened, overrides)
    metrics = Metrics(train_run(opened, changed(opened, overrides), Given()))
    note_stale(opened)
    return metrics


def detect(run: RunReader | str | Path, truth: str | Path, grain: Literal["token", "span"] = "token") -> Detection:
    """Compare scores and labels with a truth file; returns what ``detection.json`` holds.

    For each attribute, the run's labels and position alone: AUROC, average precision, and precision and recall of the
    run's own mask, with 95 % intervals over resampled examples; the same by kind, and among tokens at like positions.

    Args:
        run: A scored run, or its folder.
        truth: As ``xtf plant`` writes it, or from people's annotation (see :mod:`xtf.noise.truth`).
        grain: ``token``, or ``span``: wrong spans and lines of right tokens, by their worst token and by their mean.

    Raises:
        DataError: the truth file cannot be read, or speaks of other examples.
    """
    from xtf.report.results import Detection
    from xtf.steps.detecting import detect as detect_in

    opened = run if isinstance(run, RunReader) else open_run(run)
    detection = Detection(detect_in(opened, truth, grain))
    note_stale(opened)
    return detection

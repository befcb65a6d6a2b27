"""The steps of a run as typed calls: score, label, train, or all of them.

Each step reads what the step before it wrote, so every one can be repeated alone. Scoring loads the model; labelling
needs only scores; training needs only labels and the base model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xtf.attribute.registry import AnyAttribute
from xtf.config import METRICS, RunConfig, StudyConfig, apply_overrides, parse_config, parse_study, read_yaml
from xtf.errors import ConfigError, did_you_mean, listed
from xtf.runs import RunReader
from xtf.runs.folder import RunFolder
from xtf.runs.staleness import note_export, note_stale
from xtf.runs.worker import Worker
from xtf.steps.defaults import completed, named, problems_of_attributes

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from xtf.data import Inspection
    from xtf.report import Report
    from xtf.report.issues import Issues
    from xtf.report.results import Detection, Metrics, StudyResult
    from xtf.report.tables import Table
    from xtf.runs.status import Status
    from xtf.steps.exporting import Exported
    from xtf.steps.planting import PlantedFile
    from xtf.steps.spans import RelabelledFile
    from xtf.studies import Plan

ConfigLike = RunConfig | Mapping[str, Any] | str | Path
Rows = Iterable[Mapping[str, Any]]


class Run(RunReader):
    """One run folder: ``xtf.open_run(path)``.

    Attributes:
        folder: Paths, shards and manifest.
    """

    def report(self, examples: Sequence[str] | None = None, compare: Sequence[RunReader] = ()) -> Report:
        """The run as a page to show in a notebook; arguments as for :func:`xtf.report.write_report`."""
        from xtf.report.html.write import Report, html

        return Report(html(self, examples, compare))

    def tokens(self, examples: Sequence[str] | None = None) -> Table:
        """Every token as a table: text, scores and details, and what became of it; for pandas, Polars and pyarrow.

        Args:
            examples: Ids of the only examples to read; all if not given, which takes some 100 bytes a token.

        Raises:
            RunError: there is no example of an id, or nothing is scored.
        """
        from xtf.report.tokens import token_table

        return token_table(self, examples)

    def to_pandas(self) -> pd.DataFrame:
        """:meth:`tokens` as a ``pandas.DataFrame``."""
        return self.tokens().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """:meth:`tokens` as a ``polars.DataFrame``.

        Raises:
            XTFError: Polars is not installed.
        """
        return self.tokens().to_polars()

    def _repr_html_(self) -> str:
        from xtf.report.results import run_html

        return run_html(self)

    def status(self) -> Status:
        """Its stages, what is stale because something before it has changed, and the next command."""
        from xtf.runs.status import run_status

        return run_status(self)

    def issues(self) -> Issues:
        """The examples, those with the worst spans first, each judged by its tokens; see :func:`xtf.find`.

        Raises:
            RunError: the run is not labelled.
        """
        from xtf.report.issues import Issues

        return Issues(self)


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading.

    Raises:
        RunError: if there is no run in it.
    """
    return Run(RunFolder.existing(path))


def load_config(
    source: ConfigLike, overrides: Sequence[str] = (), scorers: Mapping[str, AnyAttribute] | None = None
) -> RunConfig:
    """Read and check a configuration, scorer parameters included, and fill in the default cuts.

    Args:
        source: A YAML file, a mapping, or a configuration already checked.
        overrides: ``key.path=value`` texts, as after ``--set``.
        scorers: Scorer objects that take the place of the section ``attributes``, by the names they go under.

    Raises:
        ConfigError: with every mistake, one a line.
    """
    return _checked(*_raw(source), overrides, scorers)


def _raw(source: ConfigLike) -> tuple[dict[str, Any], str]:
    """A configuration yet to be checked, and what messages call it."""
    if isinstance(source, RunConfig):
        return source.model_dump(mode="json"), "<config>"
    if isinstance(source, Mapping):
        return dict(source), "<config>"
    return read_yaml(source), str(source)


def _checked(
    raw: Mapping[str, Any], where: str, overrides: Sequence[str] = (), scorers: Mapping[str, AnyAttribute] | None = None
) -> RunConfig:
    merged = apply_overrides(raw, overrides)
    if scorers is not None:
        return parse_config(named(merged, scorers), where)
    merged = completed(merged)
    return parse_config(
        merged,
        where,
        check_attributes=lambda attributes: problems_of_attributes(merged, attributes) + _unknown_metrics(merged),
    )


def _with_objects(source: ConfigLike, model: Any, data: Any, scorers: Mapping[str, AnyAttribute] | None) -> RunConfig:
    """As :func:`load_config`; an object given needs no path in the configuration."""
    raw, where = _raw(source)
    if model is not None:
        raw["model"] = {"path": getattr(model, "name_or_path", "") or "(a model object)", **(raw.get("model") or {})}
    if data is not None:
        raw["data"] = {"path": "(rows in memory)", **(raw.get("data") or {})}
    return _checked(raw, where, (), scorers)


def _unknown_metrics(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with ``evaluation.metrics``; a run whose metrics are not installed here can still be read."""
    section = raw.get("evaluation")
    names = section.get("metrics") if isinstance(section, Mapping) else None
    known = METRICS.points()
    return [
        f"evaluation.metrics: no metric named {name!r}.{did_you_mean(str(name), known)} Known: auto, {listed(known)}"
        for name in (names if isinstance(names, list | tuple) else ())
        if name not in known
    ]


def find(
    data: str | Path | Sequence[str | Path] | Rows,
    model: str | Path | PreTrainedModel,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    overrides: Sequence[str] = (),
) -> Issues:
    """Score and label data, and rank its examples by their worst spans; needs no configuration and no folder.

    What looks wrong is judged by ``label_quality``, what the model predicts already by ``knowledge_novelty``. The run
    lies in the user's cache: the same call goes on where it was interrupted, and is answered from there when done.

    Args:
        data: A file, a folder, a pattern, a hub id or a list of these, as for ``data.path``; or rows in memory.
        model: As for ``model.path``; or a model object, which needs ``tokenizer`` too.
        tokenizer: A tokenizer object.
        overrides: ``key.path=value`` texts that change any other setting; with ``output=runs/NAME`` the run lies there.

    Raises:
        XTFError: of the kind that names the mistake.
    """
    from xtf.data import repeatable
    from xtf.report.issues import Issues
    from xtf.steps.finding import in_cache, settings_of
    from xtf.steps.preparing import Given

    named = [data] if isinstance(data, str | Path) else list(data) if _are_paths(data) else None
    rows = None if named is not None else repeatable(data)
    given = Given(None if isinstance(model, str | Path) else model, tokenizer, rows)
    sections: dict[str, Any] = {} if given.model is not None else {"model": {"path": str(model)}}
    if named is not None:
        sections["data"] = {"path": [str(place) for place in named] if len(named) > 1 else str(named[0])}
    config = _with_objects(settings_of(sections, overrides), given.model, rows, None)
    config = config if "output" in config.model_fields_set else in_cache(config, given)
    scored = score(config, model=given.model, tokenizer=tokenizer, data=rows)
    return Issues(label(scored), rows)


def _are_paths(data: Any) -> bool:
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(one, str | Path) for one in data)


def run(config: ConfigLike, *, overwrite: bool = False, **objects: Any) -> Run:
    """Score, label, and train if the configuration has a ``training`` section. See :func:`score` for the objects.

    With ``strategy: self_evolving`` the three take turns, round by round.

    Raises:
        ConfigError: scorer objects in a self-evolving run.
        XTFError: of the kind that names any other mistake.
    """
    scorers = objects.get("attributes")
    config = _with_objects(config, objects.get("model"), objects.get("data"), scorers)
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

    Raises:
        XTFError: of the kind that names the mistake.
    """
    from xtf.steps.preparing import Given
    from xtf.steps.scoring import score_run

    config = _with_objects(config, model, data, attributes)
    _refuse_alone("scored", config)
    worker = Worker.parse(shard) if shard is not None else None
    scored = score_run(config, Given(model, tokenizer, data), attributes, overwrite, worker)
    note_stale(scored)
    return Run(scored.folder)


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
    _refuse_alone("labelled", opened.config)
    _refuse_unread("labelling", ("thresholds", "combine"), overrides, "score again for the rest")
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
    _refuse_unread("training", sections, overrides, "score or label again for the rest")
    if opened.evolves:
        from xtf.steps.evolving import evolve_again

        return Metrics(evolve_again(opened, load_config(opened.config, overrides), Given(model, tokenizer)).metrics)
    config = _changed(opened, overrides)
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
    _refuse_unread("evaluation", ("evaluation",), overrides, "train again for the rest")
    _ = opened.metrics  # refuses a run without trained arms; those that it has are loaded, not trained again
    if opened.evolves:
        return train(opened, overrides)
    metrics = Metrics(train_run(opened, _changed(opened, overrides), Given()))
    note_stale(opened)
    return metrics


def load_study(source: StudyConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read and check a study; the configurations that it names are checked when it is planned.

    Args:
        source: A YAML file, a mapping, or a study already checked.
        overrides: ``key.path=value`` texts, as after ``--set``.

    Raises:
        ConfigError: with every mistake, one a line.
    """
    if isinstance(source, StudyConfig):
        return parse_study(source.model_dump(mode="json"), overrides=overrides)
    if isinstance(source, Mapping):
        return parse_study(source, overrides=overrides)
    return parse_study(read_yaml(source), str(source), overrides)


def study(source: StudyConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> StudyResult:
    """Train arms × seeds × settings and compare them; returns what ``study.json`` holds. See :func:`load_study`.

    Trainings that are there are kept, so starting again goes on. One that fails is listed under ``failed``.

    Raises:
        XTFError: of the kind that names the mistake.
    """
    from xtf.report.results import StudyResult
    from xtf.studies import run_study

    return StudyResult(run_study(load_study(source, overrides)))


def plan_study(source: StudyConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> Plan:
    """What a study would train, in order; reads configurations only. See :func:`load_study`.

    Raises:
        ConfigError: with every mistake found in one of the files, one a line.
    """
    from xtf.studies.planning import plan_study as plan

    return plan(load_study(source, overrides))


def export(
    run: RunReader | str | Path,
    exporter: str = "labels",
    output: str | Path | None = None,
    *,
    drop_worse_than: float | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    data: Rows | None = None,
    push: str | None = None,
) -> Exported:
    """Write the labels of a run in the form that another tool reads.

    Returns the files of rows, as a sequence, with counts, the files beside them, and the command to train.

    Args:
        run: A labelled run, or its folder.
        exporter: Name of an exporter: ``labels``, ``trl``, …, or one of an installed package.
        output: The folder to write; by default ``exports/EXPORTER`` in the run's.
        drop_worse_than: Leave out examples of which more than this share of the response tokens is masked as noise.
        tokenizer: Of a run that was made with a tokenizer object; needed by exporters that read texts.
        data: Of a run that was made of rows in memory; needed by exporters that read texts.
        push: With the exporter ``hub``: upload the folder as this data set of the hub (OWNER/NAME), a private one if it
            is new. Nothing is uploaded without it.

    Raises:
        ConfigError: a share outside 0 to 1, or something that cannot be pushed.
        PluginError: there is no exporter of that name.
        RunError: the run is not labelled to the end, the folder holds files already, or no row is left.
    """
    from xtf.exporters import load_exporter
    from xtf.steps.exporting import Choice, export_run
    from xtf.steps.publishing import check_repository, push_folder

    opened = run if isinstance(run, RunReader) else open_run(run)
    folder = Path(output) if output is not None else opened.path / "exports" / exporter
    if push is not None:
        check_repository(push, exporter)
    exported = export_run(opened, load_exporter(exporter), folder, Choice(drop_worse_than, tokenizer, data))
    note_export(opened, exporter, folder)
    if push is not None:
        push_folder(folder, push)
    return exported


def apply_spans(
    spans: str | Path,
    model: str,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> RelabelledFile:
    """Tokenise what ``xtf export --to spans`` wrote, with any tokenizer and template, and mask what it says.

    Args:
        spans: The folder, or one of its files.
        model: As for ``model.path``: whose tokenizer and template; its weights are not loaded.
        output: Folder to write, with the columns that ``labels/`` has for trainers; None only counts.
        overrides: ``key=value`` texts that may change ``data`` and ``model``, such as ``data.template_args``.
        tokenizer: A tokenizer object, instead of the model's.

    Raises:
        DataError: naming file and line, where it holds no spans or spans of another text.
        RunError: the output folder holds files already.
    """
    from xtf.model import load_tokenizer
    from xtf.steps.spans import relabel_file

    path = Path(spans)
    config = _data_config([str(path / "part-*.jsonl") if path.is_dir() else str(path)], {"path": model}, overrides)
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer(config.model)
    return relabel_file(config.data, tokenizer, Path(output) if output is not None else None)


_TRAINED = ("training", "evaluation", "arms")


def _changed(run: RunReader, overrides: Sequence[str]) -> RunConfig:
    """The run's configuration with overrides; its scorers, which need not be installed here, are not looked for."""
    return parse_config(apply_overrides(run.config.model_dump(mode="json"), overrides))


def _refuse_unread(step: str, sections: Sequence[str], overrides: Sequence[str], instead: str) -> None:
    """Refuse to change what a step does not read: the run's configuration would contradict what lies beside it."""
    for override in overrides:
        if override.partition("=")[0].partition(".")[0] not in sections:
            raise ConfigError(f"--set {override}: {step} reads only {_words(sections)}; {instead}")


def _words(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


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


def _refuse_alone(done: str, config: RunConfig) -> None:
    if config.strategy.kind == "self_evolving":
        raise ConfigError(
            f"strategy: a self-evolving run cannot be {done} alone, for each part is scored by the model trained on "
            "those before. Use xtf run CONFIG; with --set it repeats only what the change affects"
        )


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
        ConfigError: a rate or share outside 0 to 1, or kinds that need a model where none is given.
        DataError: the data cannot be read.
    """
    from xtf.config import ColumnsConfig, DataConfig, ModelConfig
    from xtf.noise import Planting, choose_kinds
    from xtf.steps.planting import plant_file

    for name, value in (("rate", rate), ("share", share)):
        if not 0.0 < value <= 1.0:
            raise ConfigError(f"--{name} {value}: must lie above 0 and not above 1")
    if kinds is not None and not kinds:
        raise ConfigError("--kinds: names no kind; leave it out for all")
    source = DataConfig(path=str(data), columns=ColumnsConfig(**(columns or {})))
    planting = Planting(choose_kinds(kinds), rate, seed)
    return plant_file(source, Path(output), planting, share, ModelConfig(path=model) if model else None)


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
        return _data_config([str(run / "labels")], own if model is None else {"path": model}, overrides)
    if model is not None:
        return _data_config(list(map(str, sources)), {"path": model}, overrides)
    if len(sources) > 1 or first.is_dir() or first.suffix.lower() not in ("", ".yaml", ".yml", ".json"):
        raise ConfigError(f"{sources[0]}: to look at data, name the model whose tokenizer reads it: --model MODEL")
    return load_config(first, overrides)


_UNCUT = 1 << 30


def _data_config(paths: Sequence[str], model: Mapping[str, Any], overrides: Sequence[str]) -> RunConfig:
    data = {"path": paths[0] if len(paths) == 1 else list(paths), "max_length": _UNCUT}
    return load_config({"output": "unused", "model": model, "data": data}, overrides)


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
    settings = _with_objects(config, tokenizer, data, None)
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer(settings.model)
    return inspect_examples(settings.data, tokenizer, examples, data, None if whole else LOOK)


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

"""What in a run folder speaks of scores, cuts or labels that are no longer there, why, and what makes it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from xtf.config import RunConfig, arm_parts
from xtf.display import command
from xtf.files import digest, write_text
from xtf.runs.decisions import read_decisions
from xtf.runs.folder import Kind, RunFolder
from xtf.runs.opened import RunReader

EARLIER = "trained on earlier labels"


@dataclass(frozen=True, slots=True)
class Stale:
    """Something that was made before what it rests on.

    Attributes:
        part: ``labels``, ``arms``, ``detection``, ``report`` or ``export``.
        what: What it is, in words.
        why: What has changed since.
        command: Makes it again, as separate arguments.
    """

    part: str
    what: str
    why: str
    command: tuple[str, ...]

    def sentence(self) -> str:
        """What is stale, why, and the command, quoted for a shell."""
        return f"stale: {self.what}: {self.why}. Make it again: {command(*self.command)}"


def scores_fingerprint(folder: RunFolder) -> str:
    """Of the scores as they are."""
    return _content(folder, "scores")


def labels_fingerprint(folder: RunFolder) -> str:
    """Of the labels as they are."""
    return _content(folder, "labels")


def verdicts_fingerprint(folder: RunFolder) -> str:
    """Of what people decided on the run; a fixed one where nobody did."""
    return digest([one.to_dict() for one in read_decisions(folder).verdicts])


def settings_fingerprint(config: RunConfig) -> str:
    """Of the settings that labelling reads."""
    cuts = {name: cut.model_dump(mode="json") for name, cut in config.thresholds.items()}
    return digest(list(config.attributes), cuts, config.combine.model_dump(mode="json"))


def _content(folder: RunFolder, kind: Kind) -> str:
    return digest([record.sha256 for record in folder.records(kind)])


def stale_parts(run: RunReader) -> list[Stale]:
    """What is stale in a run, what other things rest on first; nothing is read but records.

    What was made by a version that did not note what it rests on is not called stale.
    """
    if run.evolves:
        return []  # rounds go on in one command, which makes again what has changed
    if not run.is_scored:
        return list(_labels(run))
    return [*_labels(run), *_arms(run), *_detection(run), *_report(run), *_exports(run)]


def stale_labels(run: RunReader) -> tuple[str, ...]:
    """Why verdicts read from a run are stale, in sentences; empty if they are not."""
    return () if run.evolves else tuple(one.sentence() for one in _labels(run))


def stale_arms(run: RunReader) -> list[str]:
    """The trained arms whose labels have changed since."""
    metrics = _read(run.folder.metrics_path)
    nobody = digest([])
    noted = {
        "labels": metrics.get("labels"),
        "scores": metrics.get("scores"),
        "verdicts": metrics.get("verdicts", nobody),
    }
    now = {
        "labels": _stage(run, "label").get("labels"),
        "scores": scores_fingerprint(run.folder),
        "verdicts": verdicts_fingerprint(run.folder),
    }
    changed = {key for key, value in noted.items() if value is not None and value != now[key]}
    names = [str(arm["arm"]) for arm in metrics.get("arms", ())]
    return [name for name in names if _rests_on(name) & changed]


def _rests_on(arm: str) -> frozenset[str]:
    """What decides which tokens an arm learns: the run's own labels; or its scores, by cuts of the arm, and people."""
    labels = arm_parts(arm)[1]
    if labels in (None, "oracle"):
        return frozenset()
    return frozenset({"labels"}) if labels == "xtf" else frozenset({"scores", "verdicts"})


def page_basis(run: RunReader) -> dict[str, str | None]:
    """What ``report.html`` shows, as fingerprints: it is stale as soon as one of them changes."""
    files = {"metrics": run.folder.metrics_path, "detection": run.folder.detection_path}
    shown = {name: digest(_read(path)) if path.exists() else None for name, path in files.items()}
    return {"labels": _stage(run, "label").get("labels"), **shown}


def note_page(run: RunReader, examples: Sequence[str] | None, compared: Sequence[RunReader]) -> None:
    """Record that ``report.html`` shows the run as it is now, which examples of it, and the runs beside it."""
    beside = {str(other.path): _stage(other, "label").get("labels") for other in compared}
    shown = {"examples": None if examples is None else list(examples), "compared": beside}
    run.folder.update_manifest(stages={"report": {"done": True, "of": page_basis(run), **shown}})
    note_stale(run)


def page_choice(run: RunReader) -> tuple[list[str] | None, list[Path]]:
    """Which examples ``report.html`` was asked to show (None: all), and the runs beside it that are still there."""
    noted = _stage(run, "report")
    beside = [Path(path) for path in noted.get("compared", {})]
    return noted.get("examples"), [path for path in beside if (path / "manifest.json").exists()]


def note_export(run: RunReader, exporter: str, output: Path) -> None:
    """Record of which labels an export was made; not in a run that this user may only read."""
    labels = _stage(run, "label").get("labels")
    with suppress(PermissionError):
        run.folder.update_manifest(exports={str(output): {"exporter": exporter, "labels": labels}})


def note_stale(run: RunReader) -> None:
    """Write into the manifest what is stale, and at the top of ``report.html`` that it is, if it is."""
    found = stale_parts(run)
    sentences = [one.sentence() for one in found]
    if run.manifest.get("stale", []) != sentences:
        run.folder.update_manifest(stale=sentences)
    for one in found:
        if one.part == "report":
            _mark_page(run.path / "report.html", one)


def _mark_page(path: Path, stale: Stale) -> None:
    text = path.read_text(encoding="utf-8")
    mark = f'<body>\n<p class="stale" role="alert">{escape(stale.sentence())}</p>'
    if '<p class="stale"' not in text:
        write_text(path, text.replace("<body>", mark, 1))


def _labels(run: RunReader) -> Iterator[Stale]:
    stage, command = _stage(run, "label"), ("xtf", "label", str(run.path))
    if not stage.get("done") or "scores" not in stage:
        return
    if not run.is_scored:
        again = ("xtf", "score", str(run.folder.config_path))
        yield Stale("labels", "the labels", "scoring was begun again and is not finished", again)
    elif stage["scores"] != scores_fingerprint(run.folder):
        yield Stale("labels", "the labels", "the scores have changed since", command)
    elif stage["settings"] != settings_fingerprint(run.config):
        yield Stale("labels", "the labels", "cuts or their combination have changed since in config.yaml", command)


def _arms(run: RunReader) -> Iterator[Stale]:
    names = stale_arms(run)
    if names:
        what = f"arm {names[0]}" if len(names) == 1 else f"arms {', '.join(names)}"
        yield Stale("arms", what, EARLIER, ("xtf", "train", str(run.path)))


def _detection(run: RunReader) -> Iterator[Stale]:
    found = _read(run.folder.detection_path)
    noted, now = found.get("labels"), _stage(run, "label").get("labels")
    if noted is not None and noted != now:
        command = ("xtf", "evaluate", str(run.path), "--truth", str(found.get("truth")))
        yield Stale("detection", "what is found of the known mistakes", "it speaks of earlier labels", command)


def _report(run: RunReader) -> Iterator[Stale]:
    noted = _stage(run, "report").get("of")
    if noted is None or not (run.path / "report.html").exists():
        return
    now = page_basis(run)
    changed = [name for name, value in now.items() if noted.get(name) != value]
    words = {"labels": "earlier labels", "metrics": "other trained arms", "detection": "another detection"}
    examples, beside = page_choice(run)
    others = _stage(run, "report").get("compared", {})
    shown = [words[name] for name in changed]
    shown += [f"earlier labels of {path}" for path in beside if others[str(path)] != _labels_of(path)]
    if shown:
        named = [f"--example={one}" for one in examples or ()] + [f"--compare={path}" for path in beside]
        yield Stale(
            "report", "report.html", f"it shows {' and '.join(shown)}", ("xtf", "report", str(run.path), *named)
        )


def _labels_of(path: Path) -> Any:
    """The fingerprint of the labels of a run that is not opened."""
    return _read(path / "manifest.json").get("stages", {}).get("label", {}).get("labels")


def _exports(run: RunReader) -> Iterator[Stale]:
    now = _stage(run, "label").get("labels")
    for place, one in run.manifest.get("exports", {}).items():
        if one["labels"] not in (None, now) and Path(place).exists():
            command = ("xtf", "export", str(run.path), "--to", one["exporter"], "--output", str(_free(Path(place))))
            yield Stale("export", place, "it was made of earlier labels", command)


def _free(path: Path) -> Path:
    """A folder beside ``path`` that is not there yet."""
    number = 2
    while (other := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return other


def _stage(run: RunReader, name: str) -> dict[str, Any]:
    found: dict[str, Any] = run.manifest.get("stages", {}).get(name, {})
    return found


def _read(path: Path) -> dict[str, Any]:
    """A file of JSON, or nothing if it is not there or damaged, which whoever shows it says."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}

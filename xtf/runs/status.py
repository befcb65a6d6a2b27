"""How far a run is: its stages, what is stale, and the command to go on with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from xtf.display import command, counted, html_box, html_lines, html_table
from xtf.runs.opened import RunReader
from xtf.runs.staleness import Stale, stale_parts

_PARTS = {"label": "labels", "train": "arms", "evaluate": "detection", "report": "report", "export": "export"}


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a run.

    Attributes:
        name: The command that does it.
        state: ``done``, ``stale`` (what it rests on has changed since), ``begun`` or ``open``.
        detail: Counts and seconds, in words.
    """

    name: str
    state: Literal["done", "stale", "begun", "open"]
    detail: str


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is.

    Attributes:
        path: Its folder.
        stages: In the order in which they are done; those that nobody asked for are left out.
        stale: What was made before what it rests on.
        next: The command to go on with, as separate arguments; empty if nothing is left to do.
    """

    path: str
    stages: tuple[Stage, ...]
    stale: tuple[Stale, ...]
    next: tuple[str, ...]

    @property
    def command(self) -> str:
        """The next command, quoted for a shell."""
        return command(*self.next)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "command": self.command}

    def _repr_html_(self) -> str:
        rows = [(stage.name, stage.state, stage.detail) for stage in self.stages]
        lines = [one.sentence() for one in self.stale] + ([f"next: {self.command}"] if self.next else [])
        return html_box(self.path, html_table(("stage", "state", ""), rows)) + (html_lines("", lines) if lines else "")


def run_status(run: RunReader) -> Status:
    """How far a run is; nothing is read but records."""
    stale = tuple(stale_parts(run))
    parts = {one.part for one in stale}
    stages = tuple(
        Stage(stage.name, "stale", stage.detail) if _PARTS.get(stage.name) in parts else stage for stage in _stages(run)
    )
    return Status(str(run.path), stages, stale, _next(run, stages, stale))


def _stages(run: RunReader) -> Iterator[Stage]:
    manifest, folder = run.manifest, run.folder
    if run.evolves:
        rounds, wanted = len(manifest.get("rounds", [])), run.config.strategy.rounds
        done = folder.metrics_path.exists() and rounds == wanted
        yield Stage("run", "done" if done else "begun", f"{rounds} of {wanted} rounds")
        return
    scored, tokens = len(folder.indices("scores")), len(folder.indices("tokens"))
    counts = manifest.get("counts", {})
    if run.is_scored:
        detail = ", ".join(
            counted(counts.get(key, 0), word)
            for key, word in (("examples", "example"), ("response_tokens", "response token"))
        )
    else:
        detail = f"{scored:,} of {counted(tokens, 'shard')} so far"
    yield _stage(run, "score", "score", detail if tokens else "")
    yield _stage(run, "label", "label", _masked(run))
    if folder.detection_path.exists() or run.config.truth is not None:
        yield _stage(run, "evaluate", "detect", "against the truth file")
    if run.config.training is not None or folder.metrics_path.exists():
        arms = [arm["arm"] for arm in run.metrics["arms"]] if folder.metrics_path.exists() else []
        yield _stage(run, "train", "train", ", ".join(arms))
    there = (run.path / "report.html").exists()
    yield Stage("report", "done" if there else "open", "report.html" if there else "")
    if manifest.get("exports"):
        yield Stage("export", "done", ", ".join(manifest["exports"]))


def _stage(run: RunReader, name: str, key: str, detail: str) -> Stage:
    found = run.manifest.get("stages", {}).get(key)
    if found is None:
        return Stage(name, "begun" if detail and name == "score" else "open", detail if name == "score" else "")
    if not found.get("done"):
        return Stage(name, "begun", detail)
    seconds = f"{found['seconds']:,.0f} s" if found.get("seconds") is not None else ""
    return Stage(name, "done", "; ".join(part for part in (detail, seconds) if part))


def _masked(run: RunReader) -> str:
    counts = run.manifest.get("counts", {})
    return f"{counted(counts['noise_tokens'], 'token')} masked" if "noise_tokens" in counts and run.is_labelled else ""


def _next(run: RunReader, stages: tuple[Stage, ...], stale: tuple[Stale, ...]) -> tuple[str, ...]:
    """The command of the first stage that is not done; before a later one, of what is stale."""
    for stage in stages:
        if stage.state == "stale":
            return next(one.command for one in stale if one.part == _PARTS[stage.name])
        if stage.state != "done":
            return _command(run, stage.name)
    return ()


def _command(run: RunReader, name: str) -> tuple[str, ...]:
    if name in ("run", "score"):
        return ("xtf", name, str(run.folder.config_path))
    if name == "evaluate":
        return ("xtf", name, str(run.path), "--truth", str(run.config.truth))
    return ("xtf", name, str(run.path))

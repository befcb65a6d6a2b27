"""What training, evaluation, detection and studies return: mappings that show themselves."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING, Any

from rich.console import Console

from xtf.display import html_facts, html_lines
from xtf.runs.staleness import stale_parts

if TYPE_CHECKING:
    from xtf.runs import RunReader

_WIDTH = 110
_PAGE = '<pre style="font-family:ui-monospace,monospace;line-height:1.35;white-space:pre;overflow-x:auto">{code}</pre>'


class Metrics(dict[str, Any]):
    """What ``metrics.json`` holds."""

    def _repr_html_(self) -> str:
        from xtf.report.terminal import print_metrics

        return terminal_html(lambda console: print_metrics(console, self))


class Detection(dict[str, Any]):
    """What ``detection.json`` holds."""

    def _repr_html_(self) -> str:
        from xtf.report.terminal import print_detection

        return terminal_html(lambda console: print_detection(console, self))


class StudyResult(dict[str, Any]):
    """What ``study.json`` holds."""

    def _repr_html_(self) -> str:
        from xtf.report.terminal import print_study

        return terminal_html(lambda console: print_study(console, self))


def terminal_html(show: Callable[[Console], None]) -> str:
    """What is printed on a console, as HTML in which all text is escaped."""
    console = Console(record=True, file=StringIO(), width=_WIDTH, highlight=False, force_jupyter=False)
    show(console)
    return console.export_html(inline_styles=True, code_format=_PAGE)


def run_html(run: RunReader) -> str:
    """What is known of a run without reading its tokens."""
    manifest, config = run.manifest, run.config
    done = [name for name, stage in manifest.get("stages", {}).items() if stage.get("done")]
    facts = {"model": config.model.path, "data": config.data.place, "attributes": list(config.attributes)}
    counts = {name.replace("_", " "): count for name, count in manifest.get("counts", {}).items()}
    stale = [one.sentence() for one in stale_parts(run)]
    return html_facts(str(run.path), {**facts, "done": done, **counts}) + (html_lines("", stale) if stale else "")

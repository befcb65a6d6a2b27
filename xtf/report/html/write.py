"""Write ``report.html``, or show it in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from xtf.display import visible
from xtf.errors import ConfigError
from xtf.files import write_text
from xtf.report.html.data import payload
from xtf.report.html.page import page
from xtf.runs.folder import RunFolder
from xtf.runs.staleness import note_page, page_choice, stale_parts

if TYPE_CHECKING:
    from xtf.runs import RunReader


def write_report(
    run: RunReader,
    path: Path | None = None,
    examples: Sequence[str] | None = None,
    compare: Sequence[RunReader] = (),
) -> Path:
    """Write one self-contained HTML file and return its path.

    Args:
        run: A labelled run.
        path: Where; ``report.html`` in the run folder if not given.
        examples: Ids of the only examples to embed; all (or a sample of a large run) if not given.
        compare: Other runs whose labels are shown beside these.

    Raises:
        ConfigError: ``path`` is no name of a page, so that it may be that of something else.
        RunError: a run has no labels, or an id is not in the run.
    """
    target = path if path is not None else run.path / "report.html"
    if target.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{target}: a page to open in a browser is written; end the name in .html")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, html(run, examples, compare))
    if target == run.path / "report.html":
        note_page(run, examples, compare)
    return target


def renew_report(run: RunReader) -> Path | None:
    """Write ``report.html`` again, as it was asked for, if it is there and shows what is no longer so; its path if so.

    Raises:
        RunError: the run has no labels any more.
    """
    if all(one.part != "report" for one in stale_parts(run)):
        return None
    examples, beside = page_choice(run)
    return write_report(run, examples=examples, compare=[type(run)(RunFolder.existing(path)) for path in beside])


def html(run: RunReader, examples: Sequence[str] | None = None, compare: Sequence[RunReader] = ()) -> str:
    """The page as text; see :func:`write_report`."""
    return page(payload(run, examples, compare), f"XTF: {visible(run.path.name)}")


@dataclass(frozen=True, slots=True)
class Report:
    """A page to show in a notebook; ``html`` is the whole document."""

    html: str = field(repr=False)
    height: int = 800

    def _repr_html_(self) -> str:
        """The page in a frame of its own, which can reach neither the notebook nor any server."""
        allowed = "allow-scripts allow-downloads"
        return (
            f'<iframe srcdoc="{escape(self.html, quote=True)}" sandbox="{allowed}" title="XTF report" '
            f'style="width:100%;height:{self.height}px;border:1px solid #8885;border-radius:8px"></iframe>'
        )

"""Labels in the forms that other tools read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xtf.api.configs import Rows, data_config
from xtf.api.reading import open_run
from xtf.runs import RunReader
from xtf.runs.staleness import note_export

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtf.steps.exporting import Exported
    from xtf.steps.spans import RelabelledFile


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
    config = data_config([str(path / "part-*.jsonl") if path.is_dir() else str(path)], {"path": model}, overrides)
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer(config.model)
    return relabel_file(config.data, tokenizer, Path(output) if output is not None else None)

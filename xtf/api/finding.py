"""What is wrong in data, without a configuration and a folder to name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtf.api.configs import Rows, with_objects
from xtf.api.steps import label, score

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from xtf.report.issues import Issues


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
    config = with_objects(settings_of(sections, overrides), given.model, rows, None)
    config = config if "output" in config.model_fields_set else in_cache(config, given)
    scored = score(config, model=given.model, tokenizer=tokenizer, data=rows)
    return Issues(label(scored), rows)


def _are_paths(data: Any) -> bool:
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(one, str | Path) for one in data)

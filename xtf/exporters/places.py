"""Where other programs find the model of a run."""

from __future__ import annotations

from pathlib import Path

from xtf.errors import ModelError


def loadable(path: str, *, weights: bool = True) -> str:
    """What ``model.path`` means to transformers: a hub id as it is, a whole path, the converted copy of a GGUF file.

    Args:
        path: As for ``model.path``. What is not found here stays as it is written.
        weights: Whether the model is wanted, or its tokenizer.
    """
    local = Path(path).expanduser()
    if local.is_dir():
        return str(local.resolve())
    if not local.exists() and not path.startswith("package:"):
        return path
    from xtf.model.gguf import plain_model, plain_tokenizer
    from xtf.model.source import find_model

    try:
        found = find_model(path)
        if found.is_file():
            found = plain_model(found) if weights else plain_tokenizer(found)
    except ModelError:
        return path
    return str(found)

"""What a column of scores is made from, as one fingerprint: whatever decides a score is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from xtf.attribute import Attribute
from xtf.attribute.registry import AnyAttribute
from xtf.attribute.source import source_of
from xtf.config import RunConfig
from xtf.files import digest, file_digest

_DECIDING = ("attribute", "model", "engine", "noise", "tokens.py")
"""Rooms of XTF whose code decides scores."""


def attribute_fingerprint(attribute: AnyAttribute, inputs: Mapping[str, str], config: RunConfig) -> str:
    """The fingerprint of one attribute's scores in a run that rests on ``inputs``.

    It covers the code of the scorer, of its signals, of what it rests on and of XTF, its parameters, the content of
    files, folders and models that they name, the run's inputs, and, for a scorer that is fitted, how many examples it
    may look at.
    """
    from xtf.steps.references import reference_contents

    params = attribute.params.model_dump(mode="json")
    fits = type(attribute).fit is not Attribute.fit
    return digest(
        source_of(type(attribute)),
        _sources_beside(attribute),
        xtf_source(),
        params,
        {text: content for text in _strings(params) if (content := _content(text)) is not None},
        {key: inputs[key] for key in ("data", "model", "seed")},
        reference_contents(attribute.requires(), config),
        [config.scoring.fit_examples, config.data.columns.model_dump(mode="json")] if fits else None,
    )


def code_fingerprint(attribute: AnyAttribute) -> str:
    """Of the code alone that turns signals into an attribute's scores: the scorer's, that beside it, and XTF's."""
    return digest(source_of(type(attribute)), _sources_beside(attribute), xtf_source())


def _sources_beside(attribute: AnyAttribute) -> list[list[str]]:
    """The code of signals of other packages, and of what the scorer says that it rests on."""
    return [source_of(kind) for kind in (*_foreign_signals(attribute), *attribute.rests_on())]


def _foreign_signals(attribute: AnyAttribute) -> list[type]:
    """Kinds of signals that come from other packages than XTF; its own code counts in any case."""
    kinds = {type(request) for request in attribute.requires()}
    return sorted(
        (kind for kind in kinds if not kind.__module__.startswith("xtf.")), key=lambda kind: kind.__qualname__
    )


@cache
def xtf_source() -> str:
    """A digest of XTF's own code as far as it decides scores."""
    whole = hashlib.sha256()
    for room in _DECIDING:
        for name, content in sorted(_sources(files("xtf").joinpath(room))):
            whole.update(name.encode() + b"\0" + content)
    return whole.hexdigest()


def _sources(place: Traversable) -> Iterable[tuple[str, bytes]]:
    if place.is_file():
        if place.name.endswith((".py", ".txt", ".json", ".yaml")):
            yield place.name, place.read_bytes()
    elif place.is_dir():
        for inner in place.iterdir():
            yield from ((f"{place.name}/{name}", content) for name, content in _sources(inner))


def _strings(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def _content(text: str) -> str | None:
    """The content of the file or folder that a parameter names, if it names one; ``encoder:FOLDER`` does too."""
    for spelling in dict.fromkeys((text, text.partition(":")[2])):
        try:
            path = Path(spelling).expanduser()
            if spelling and path.is_file():
                return file_digest(path)
            if spelling and path.is_dir():
                return _folder_content(path)
        except (OSError, ValueError):
            continue  # a parameter that cannot be a path
    return None


def _folder_content(folder: Path) -> str:
    """A digest of a folder: the weights of models are sampled, every other file counts in full."""
    from xtf.model.source import file_fingerprint

    weights = (".safetensors", ".gguf")
    parts = [
        (str(path.relative_to(folder)), file_fingerprint(path) if path.suffix in weights else file_digest(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    return digest(parts)

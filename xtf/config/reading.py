"""From YAML text and ``--set`` to plain mappings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from xtf.display import command
from xtf.errors import ConfigError, raise_if_forbidden


def quoted(text: str) -> str:
    """Text as a YAML scalar of one line that is read back as the same text."""
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf"))).strip()


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read one YAML mapping safely; duplicate keys and syntax errors name file and line.

    Raises:
        ConfigError: there is no such file, or it holds no mapping.
    """
    return parse_yaml(read_settings_text(path), str(Path(path)))


def read_settings_text(path: str | Path) -> str:
    """The text of a file of settings.

    Raises:
        ConfigError: there is no such file, or it is no text.
    """
    path = Path(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. Write one with: {command('xtf', 'init', path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise_if_forbidden(error)
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping that the text of the file ``where`` holds.

    Raises:
        ConfigError: it holds none; duplicate keys and syntax errors are named with their line.
    """
    try:
        loaded = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader subclass
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{where}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(loaded, dict):
        raise ConfigError(
            f"{where}: expected a mapping with at least 'model' and 'data', found {type(loaded).__name__}"
        )
    return loaded


def apply_overrides(raw: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of ``raw`` with each ``key.path=value`` set; values are read as YAML. A single text is one of them.

    Where a cut gets another ``kind``, the settings of the former one go.

    Raises:
        ConfigError: a text is no ``key=value``, or its path leads through what is no section.
    """
    merged: dict[str, Any] = {**raw}
    overrides = [overrides] if isinstance(overrides, str) else overrides
    parsed = [(override, *_parsed(override)) for override in overrides]
    for override, keys, value in parsed:
        if keys[-1] == "kind" and {"threshold", "thresholds"} & set(keys[:-1]):
            level = _section(merged, keys, override)
            if level.get("kind") != value:
                level.clear()
    for override, keys, value in parsed:
        _section(merged, keys, override)[keys[-1]] = value
    return merged


def _parsed(override: str) -> tuple[list[str], Any]:
    """The keys and the value of one ``key.path=value``."""
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise ConfigError(f"--set {override}: expected key.path=value, for example data.limit=100")
    try:
        return keys, yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from None


def _section(merged: dict[str, Any], keys: Sequence[str], override: str) -> dict[str, Any]:
    """The section that holds the last of ``keys``; each section on the way becomes a copy, or is made."""
    level = merged
    for key in keys[:-1]:
        inner = level.get(key)
        if key == "attributes" and isinstance(inner, list) and all(isinstance(name, str) for name in inner):
            inner = {name: {} for name in inner}
        if inner is not None and not isinstance(inner, Mapping):
            raise ConfigError(f"--set {override}: {key!r} is not a section")
        level[key] = {**(inner or {})}
        level = level[key]
    return level


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(getattr(key_node, "value", key_node))
            if key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

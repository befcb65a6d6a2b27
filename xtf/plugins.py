"""What installed packages offer under one entry-point group: names without importing, objects with clear errors."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, EntryPoints, entry_points
from typing import Any

from xtf.errors import PluginError, did_you_mean, listed


@dataclass(frozen=True, slots=True)
class PluginGroup:
    """One sort of plug-in.

    Attributes:
        group: The entry-point group, such as ``xtf.cuts``.
        word: What one is called in messages, such as ``cut``.
    """

    group: str
    word: str

    def points(self) -> dict[str, EntryPoint]:
        """Every entry point by its name; imports none of them.

        Raises:
            PluginError: two packages provide the same name.
        """
        points: dict[str, EntryPoint] = {}
        for point in _installed(self.group, tuple((path, _changed(path)) for path in sys.path)):
            other = points.setdefault(point.name, point)
            if other.value != point.value:
                packages = " and ".join(p.dist.name if p.dist else p.value for p in (other, point))
                raise PluginError(
                    f"{self.word} {point.name!r} is provided twice, by {packages} ({other.value}, {point.value}). "
                    "Uninstall one of them, or ask its author to choose another name."
                )
        return points

    def provider(self, name: str) -> str:
        """The distribution that provides ``name`` and its version, for listings and messages."""
        point = self.points()[name]
        return _name_and_version(point.dist) if point.dist is not None else point.value

    def load(self, name: str) -> Any:
        """Import what is called ``name``.

        Raises:
            PluginError: there is none, two packages provide it, or its package cannot be imported.
        """
        points = self.points()
        if name not in points:
            raise PluginError(f"no {self.word} of that name.{did_you_mean(name, points)} Known: {listed(points)}")
        try:
            return points[name].load()
        except Exception as error:  # whatever a third party's import raises
            raise PluginError(
                f"{self.word} {name!r}: {points[name].value} of package {self.provider(name)} cannot be imported "
                f"({type(error).__name__}: {error}). Repair or uninstall that package."
            ) from error


@lru_cache(maxsize=64)
def _installed(group: str, folders: tuple[tuple[str, int], ...]) -> EntryPoints:
    """What all packages in some folders offer, read again when a folder changes, as a notebook that installs does.

    Reading takes ten milliseconds and more, and a configuration asks some twenty times.
    """
    return entry_points(group=group)


@lru_cache(maxsize=64)
def _name_and_version(package: Distribution) -> str:
    """Of an installed package, whose file of facts is read and parsed for each of them."""
    return f"{package.name} {package.version}"


def _changed(path: str) -> int:
    """When a folder last changed, in ns; 0 if there is none."""
    try:
        return os.stat(path or ".").st_mtime_ns
    except OSError:
        return 0

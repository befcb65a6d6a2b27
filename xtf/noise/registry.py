"""Which kinds of noise exist: names by entry point, classes with clear errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points

from xtf.errors import PluginError, did_you_mean, listed
from xtf.noise.kind import Kind

GROUP = "xtf.noise_kinds"


@cache
def known_kinds() -> dict[str, Kind]:
    """Every installed kind by name, sorted by name.

    Raises:
        PluginError: an entry point that cannot be imported, is no kind, or has another's name.
    """
    found: dict[str, Kind] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            loaded = point.load()
        except Exception as error:  # whatever a third party's import raises
            raise PluginError(
                f"noise kind {point.name!r}: {point.value} cannot be imported ({type(error).__name__}: {error})"
            ) from error
        if not (isinstance(loaded, type) and issubclass(loaded, Kind)):
            raise PluginError(f"noise kind {point.name!r}: {point.value} is not a subclass of xtf.noise.Kind")
        if loaded.name != point.name:
            raise PluginError(f"noise kind {point.name!r}: {point.value} calls itself {loaded.name!r}; both must agree")
        if point.name in found and type(found[point.name]) is not loaded:
            raise PluginError(f"noise kind {point.name!r} is provided twice. Uninstall one of the packages.")
        found[point.name] = loaded()
    return found


def choose_kinds(names: Sequence[str] | None = None) -> list[Kind]:
    """The kinds of these names, in this order; all by default.

    Raises:
        PluginError: there is no kind of a name.
    """
    known = known_kinds()
    for name in names or ():
        if name not in known:
            raise PluginError(f"no noise kind {name!r}.{did_you_mean(name, known)} Known: {listed(known)}")
    return [known[name] for name in (known if names is None else names)]

"""The list of scorers, and one scorer in full."""

from __future__ import annotations

import inspect

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xtf.attribute import registry
from xtf.errors import PluginError


def print_attributes(console: Console, name: str | None) -> None:
    """Print every scorer that is installed, or one with its parameters."""
    if name is not None:
        _print_one(console, name)
        return
    table = Table("attribute", "from", "what it measures", box=None)
    for known in registry.names():
        try:
            summary = (inspect.getdoc(registry.load(known)) or "").split("\n")[0]
        except PluginError as error:
            summary = str(error)
        table.add_row(known, registry.provider(known), Text(summary))
    console.print(table)
    console.print("\nOne in full: xtf attributes NAME", markup=False)


def _print_one(console: Console, name: str) -> None:
    scorer = registry.load(name)
    console.print(Text(name, style="bold"), Text(f"({registry.provider(name)})", style="dim"))
    console.print(inspect.getdoc(scorer) or "", markup=False)
    if scorer.rescores:
        console.print(
            "\nfrozen at the base, unless scored anew in training as its paper does: set training.rescore_steps: 1",
            markup=False,
        )
    fields = scorer.Params.model_fields
    if fields:
        table = Table("parameter", "default", "meaning", box=None)
        for key, field in fields.items():
            default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
            table.add_row(key, Text(default), Text(field.description or str(field.annotation).replace("typing.", "")))
        console.print()
        console.print(table)
    if not any(field.is_required() for field in fields.values()):
        default_cut = ", ".join(f"{k}: {v}" for k, v in scorer(scorer.Params()).default_cut().items())
        console.print(f"\ndefault cut: {{{default_cut}}}", markup=False)
    console.print(f"\nin studies: {scorer.evidence or 'not put to the test by training yet'}", markup=False)

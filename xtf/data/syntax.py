"""Which arguments a chat template reads, judged by its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment, meta, nodes
from jinja2.ext import Extension

if TYPE_CHECKING:
    from jinja2.parser import Parser


def names_read(source: str) -> frozenset[str]:
    """Return the names that a template reads without having made them itself."""
    syntax = SYNTAX.parse(source)
    return frozenset(meta.find_undeclared_variables(syntax) - _computed(syntax))


def keys_read(source: str) -> frozenset[str]:
    """Return the names that a template may look up in an object: ``message.name``, ``message['name']``, …"""
    syntax = SYNTAX.parse(source)
    texts = (each.value for each in syntax.find_all(nodes.Const) if isinstance(each.value, str))
    return frozenset((*(each.attr for each in syntax.find_all(nodes.Getattr)), *texts))


class _Generation(Extension):
    """``{% generation %}`` … ``{% endgeneration %}``, for reading a template, not for rendering it."""

    tags = {"generation"}  # noqa: RUF012  as jinja2 declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _computed(syntax: nodes.Template) -> set[str]:
    """Names that the template sets from something else than a constant or their own value."""
    found = set()
    for each in syntax.find_all(nodes.Assign):
        read = {name.name for name in each.node.find_all(nodes.Name)}
        if isinstance(each.target, nodes.Name) and not isinstance(each.node, nodes.Const):
            found |= {each.target.name} - read
    return found


SYNTAX = Environment(  # noqa: S701  renders nothing
    trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
)
"""Reads templates as transformers does."""

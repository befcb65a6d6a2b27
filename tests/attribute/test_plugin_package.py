"""A third party's scorer, found by its entry point, keeps the contract like any built-in."""

from __future__ import annotations

from typing import Any

from xtf.attribute import Attribute, registry
from xtf.testing import Check, parametrize_with_checks


@parametrize_with_checks(
    [registry.build("rarity", {}), registry.build("rare", {"attribute": "rarity", "smoothing": 2})]
)
def test_contract(attribute: Attribute[Any], check: Check) -> None:
    check(attribute)


def test_it_is_found_by_its_entry_point_alone() -> None:
    assert "rarity" in registry.names()
    assert registry.provider("rarity") == "xtf-rarity 0.1.0"

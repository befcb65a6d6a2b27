"""Which shards of a run one of several scoring processes takes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from xtf.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Worker:
    """Every ``of``-th token shard, beginning with the ``number``-th (from 1)."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Worker:
        """Read ``3/16``.

        Raises:
            ConfigError: it is not two numbers, the first from 1 to the second.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"--shard {text}: expected NUMBER/OF with NUMBER from 1 to OF, for example 3/16")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of_launch(cls, environment: Mapping[str, str] = os.environ) -> Worker | None:
        """The share of this process under ``accelerate launch`` or ``torchrun``; None if it runs alone."""
        try:
            rank, world = int(environment.get("RANK", "0")), int(environment.get("WORLD_SIZE", "1"))
        except ValueError:
            return None
        return cls(rank + 1, world) if 0 <= rank < world and world > 1 else None

    @classmethod
    def speaks(cls) -> bool:
        """Whether this process shows results: alone, or as the first of a launch."""
        launched = cls.of_launch()
        return launched is None or launched.number == 1

    def takes(self, index: int) -> bool:
        """Whether the shard of that index (from 0) belongs to this share."""
        return index % self.of == self.number - 1

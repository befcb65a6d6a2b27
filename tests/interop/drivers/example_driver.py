"""``python example_driver.py EXAMPLE ARGUMENTS``: run a script, with an empty torchaudio; see llama_factory_driver."""

from __future__ import annotations

import runpy
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

if __name__ == "__main__":
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")

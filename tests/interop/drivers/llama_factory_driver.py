"""``python llama_factory_driver.py CONFIG OUT``: as ``llamafactory-cli train CONFIG``; write what was seen to OUT.

LLaMA-Factory imports torchaudio, of which package indexes have no build for CPUs; for texts an empty module will do.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


def main(config: str, out: str) -> None:
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)
    import yaml
    from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer
    from llamafactory.train.tuner import run_exp
    from recording import Recorder

    recorder = Recorder()
    recorder.watch(CustomSeq2SeqTrainer)
    with open(config, encoding="utf-8") as file:
        run_exp(yaml.safe_load(file))
    recorder.write(out)


if __name__ == "__main__":
    main(*sys.argv[1:])

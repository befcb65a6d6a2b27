"""LLaMA-Factory, labels only: python docs/examples/llama_factory_labels.py RUN/exports/llama-factory OUTPUT

In LLaMA-Factory's own environment, after `xtf export RUN --to llama-factory`. The same from the command line:
llamafactory-cli train RUN/exports/llama-factory/llama_factory.yaml
"""

import sys
from pathlib import Path

import yaml
from llamafactory.train.tuner import run_exp

export, output = Path(sys.argv[1]), sys.argv[2]
settings = yaml.safe_load((export / "llama_factory.yaml").read_text(encoding="utf-8"))
run_exp({**settings, "output_dir": output, "num_train_epochs": 1, "learning_rate": 1e-5})

"""ms-swift, every token with its weight: python docs/examples/ms_swift_weights.py RUN/exports/ms-swift OUTPUT

In ms-swift's own environment, after `xtf export RUN --to ms-swift`. The same from the command line:
swift sft RUN/exports/ms-swift/ms_swift.yaml
"""

import sys
from pathlib import Path

import yaml
from swift.arguments import SftArguments
from swift.pipelines import sft_main

export, output = Path(sys.argv[1]), sys.argv[2]
settings = yaml.safe_load((export / "ms_swift.yaml").read_text(encoding="utf-8"))
sft_main(SftArguments(**{**settings, "output_dir": output, "num_train_epochs": 1, "learning_rate": 1e-5}))

"""TRL, every token with its weight: python docs/examples/trl_weights.py RUN MODEL OUTPUT"""

import sys

import torch
from datasets import load_dataset
from trl import SFTConfig

from xtf import CheckCallback, WeightedSFTTrainer

run, model, output = sys.argv[1:4]
data = load_dataset("parquet", data_files=f"{run}/labels/*.parquet", split="train")
settings = SFTConfig(  # or with packing=True, max_length=8192
    output, max_length=None, num_train_epochs=1, bf16=torch.cuda.is_available(), report_to="none"
)
trainer = WeightedSFTTrainer(model, settings, data, callbacks=[CheckCallback(run)])
trainer.train()
trainer.save_model()

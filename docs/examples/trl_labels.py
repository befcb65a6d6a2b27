"""TRL as it is, labels only: python docs/examples/trl_labels.py RUN MODEL OUTPUT"""

import sys

import torch
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

from xtf import CheckCallback

run, model, output = sys.argv[1:4]
data = load_dataset("parquet", data_files=f"{run}/labels/*.parquet", split="train")
settings = SFTConfig(  # TRL's own max_length is 1024
    output, max_length=None, num_train_epochs=1, bf16=torch.cuda.is_available(), report_to="none"
)
trainer = SFTTrainer(model, settings, train_dataset=data, callbacks=[CheckCallback(run, weights=False)])
trainer.train()
trainer.save_model()

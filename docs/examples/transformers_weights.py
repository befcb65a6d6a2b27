"""transformers.Trainer, every token with its weight: python docs/examples/transformers_weights.py RUN MODEL OUTPUT"""

import sys

from datasets import load_dataset
from transformers import AutoModelForCausalLM, TrainingArguments

from xtf import CheckCallback, WeightedTrainer

run, model, output = sys.argv[1:4]
data = load_dataset("parquet", data_files=f"{run}/labels/*.parquet", split="train")
settings = TrainingArguments(output, num_train_epochs=1, report_to="none")
trainer = WeightedTrainer(AutoModelForCausalLM.from_pretrained(model), settings, data, callbacks=[CheckCallback(run)])
trainer.train()
trainer.save_model()

"""Unsloth (it needs a GPU), labels only: python docs/examples/unsloth_labels.py RUN MODEL OUTPUT"""

import sys

from unsloth import FastLanguageModel  # first: it changes what is imported after it

from datasets import load_dataset  # isort: skip
from trl import SFTConfig, SFTTrainer  # isort: skip

from xtf import CheckCallback  # isort: skip

run, name, output = sys.argv[1:4]
model, tokenizer = FastLanguageModel.from_pretrained(name, max_seq_length=4096)
model = FastLanguageModel.get_peft_model(model, r=16)
data = load_dataset("parquet", data_files=f"{run}/labels/*.parquet", split="train")
data = data.select_columns(["input_ids", "attention_mask", "labels"])
settings = SFTConfig(output, max_length=4096, num_train_epochs=1, report_to="none")
trainer = SFTTrainer(model, settings, train_dataset=data, processing_class=tokenizer)
trainer.add_callback(CheckCallback(run, weights=False, steps=0))  # tokens are compared; its loss is computed in kernels
trainer.train()
trainer.save_model()

"""transformers.Trainer as it is, labels only: python docs/examples/transformers_labels.py RUN MODEL OUTPUT"""

import sys

from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

from xtf import CheckCallback

run, model, output = sys.argv[1:4]
data = load_dataset("parquet", data_files=f"{run}/labels/*.parquet", split="train")
trainer = Trainer(
    AutoModelForCausalLM.from_pretrained(model),
    TrainingArguments(output, num_train_epochs=1, report_to="none"),
    data_collator=DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(model)),  # pads labels; others do not
    train_dataset=data.select_columns(["input_ids", "attention_mask", "labels"]),
    callbacks=[CheckCallback(run, weights=False)],
)
trainer.train()
trainer.save_model()

"""A PyTorch loop, every token with its weight: python docs/examples/bare_loop.py RUN MODEL OUTPUT"""

import sys

import torch
from datasets import load_dataset
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

from xtf import check_batches, pad_rows, weigh

run, name, output = sys.argv[1:4]
data = load_dataset("parquet", data_files=f"{run}/labels/*.parquet", split="train")
batches = DataLoader(data.select_columns(["input_ids", "weights"]), batch_size=8, shuffle=True, collate_fn=pad_rows)
print(check_batches(batches, run))

model = AutoModelForCausalLM.from_pretrained(name).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
for batch in batches:
    weights = batch["weights"][:, 1:]  # each stands at its own token, which the position before predicts
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    losses = cross_entropy(logits.transpose(1, 2).float(), batch["input_ids"][:, 1:], reduction="none")
    loss = weigh(losses, weights, logits.shape[-1]).sum() / weights.clamp(min=0).sum().clamp(min=1e-8)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"loss {loss.item():.4f}")
model.save_pretrained(output)

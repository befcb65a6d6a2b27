"""The commented configuration that ``xtf init`` writes."""

from __future__ import annotations

from pathlib import Path

from xtf.config import quoted
from xtf.display import command
from xtf.errors import ConfigError
from xtf.files import write_text

TEMPLATE = """\
# {run}
#
# Check it first:  {check}      (every setting, with its default)
# See the tokens:  {inspect}    (no model weights are loaded)

output: {output}
seed: 0

model:
  path: {model}            # hub id, folder, GGUF file (of the hub: ORG/NAME/FILE.gguf), or package:NAME/FILE
  dtype: auto
  device: auto

data:
  path: {data}             # JSONL, JSON, Parquet, a datasets folder, or a hub id
  max_length: 2048
  too_long: truncate       # or drop
  # columns: {{prompt: my_question, response: my_answer}}    # when the schema is not recognised by itself

# Each attribute scores every response token; higher = more worth learning. List them with: xtf attributes
attributes:
  label_quality: {{}}      # wrong: a detector that teaches itself on copies of your data with planted mistakes
  knowledge_novelty: {{}}  # useless: what the model predicts already
  # task_relevance: {{}}   # off-topic: words: [sum, total, …] or examples: FILE say what the task is about

# A cut turns scores into "lacking". Kinds: below, above, outside, iqr, multi_otsu, bottom_share, top_share, never.
thresholds:
  label_quality: {{kind: below, cut: 0.75}}     # a probability: masked if the token is right with less than this
  knowledge_novelty: {{kind: never}}            # scored and shown; or: {{kind: bottom_share, share: 0.1}}

# Noise = lacking any attribute. Also: all, vote, weighted.
combine:
  rule: any
  max_noise_share: 1.0
  min_kept: 0

# A run ends with labels, which any trainer takes (xtf export). To train here too, and to compare what masking does
# with all tokens and with a random mask, name held-out examples and take away the signs before these lines.
# training:
#   arms: [base, full, random, xtf]
#   method: lora
#   learning_rate: 2.0e-4
#   batch_size: 8
#   epochs: 1
#
# evaluation:
#   path: heldout.jsonl    # in any schema that data.path accepts
"""


def write_starter(path: Path, data: str, model: str) -> None:
    """Write the template to ``path``.

    Raises:
        ConfigError: if the file exists.
    """
    if path.exists():
        raise ConfigError(f"{path}: exists already. Choose another name: xtf init NAME.yaml")
    commands = {name: command("xtf", name, path) for name in ("run", "check", "inspect")}
    values = {"output": quoted(f"runs/{path.stem}"), "data": quoted(data), "model": quoted(model)}
    text = TEMPLATE.format(**commands, **values)
    write_text(path, text)

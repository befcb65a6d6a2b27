"""Peak memory above the weights for one long example of a tiny random model, attribute by attribute.

``python -m tests.benchmarks.long_contexts gemma3 32768 [ATTRIBUTE …]``; without names, all that need no other model.
"""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig

from tests.benchmarks.memory import resident_mib
from tests.tiny import VOCAB_SIZE, tiny_tokenizer
from xtf.attribute import LossDerivative, registry
from xtf.errors import PluginError
from xtf.model import LoadedModel, SignalPass
from xtf.tokens import TokenBatch, TokenizedExample

SHORT = 64


def model_for(kind: str, length: int) -> LoadedModel:
    """Two layers: of ``llama`` both see everything, of ``gemma3`` the first sees 512 tokens."""
    shape: dict[str, Any] = {"vocab_size": VOCAB_SIZE, "hidden_size": 32, "intermediate_size": 64}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    shape |= {"max_position_embeddings": 2 * length, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 2}
    windows = ["sliding_attention", "full_attention"]
    config: Any = (
        LlamaConfig(**shape)
        if kind == "llama"
        else Gemma3TextConfig(**shape, head_dim=8, sliding_window=512, layer_types=windows)
    )
    auto: Any = AutoModelForCausalLM
    torch.manual_seed(0)
    return LoadedModel.from_objects(auto.from_config(config, dtype=torch.float32), tiny_tokenizer())


def batch_of(length: int) -> TokenBatch:
    """One example; all but its first quarter is the response."""
    ids = np.random.default_rng(0).integers(3, VOCAB_SIZE, length).astype(np.int32)
    is_response = np.arange(length) >= length // 4
    return TokenBatch.collate([TokenizedExample("long", ids, is_response, np.zeros(length, np.bool_))])


def measure(loaded: LoadedModel, attribute: str, length: int) -> str:
    """A line of the table, or why there is none."""
    try:
        requests = registry.build(attribute, {}).requires()
    except PluginError as error:
        return f"{attribute}: not measured, {error}"
    if any(isinstance(one, LossDerivative) or getattr(one, "reference", None) is not None for one in requests):
        return f"{attribute}: not measured, it needs a second model or a direction"
    signal_pass = SignalPass(loaded, requests)
    signal_pass.run(batch_of(SHORT))  # libraries and buffers that any first call makes
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew at what is resident now
    before, started = resident_mib("VmRSS"), time.process_time()
    signal_pass.run(batch_of(length))
    taken = time.process_time() - started
    return f"{attribute}: {resident_mib('VmHWM') - before:.0f} MiB, {taken:.0f} s of the processor"


if __name__ == "__main__":
    kind, length = sys.argv[1], int(sys.argv[2])
    model = model_for(kind, length)
    for name in sys.argv[3:] or registry.names():
        print(f"{kind}, {length} tokens, {measure(model, name, length)}", flush=True)

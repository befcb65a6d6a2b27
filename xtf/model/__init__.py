"""Models: loading them, and reading every requested signal from one pass.

``load_model`` and ``load_tokenizer`` accept a hub id, a folder, a GGUF file or a file inside an installed package;
``SignalPass`` turns batches of tokens into signals; ``Embedder`` embeds tokens and texts. Begin reading in ``signals``.
"""

from xtf.model.embed import Embedder
from xtf.model.load import (
    LoadedModel,
    load_model,
    load_tokenizer,
    model_device,
    model_dtype,
    model_fingerprint,
    tokenizer_fingerprint,
)
from xtf.model.signal_pass import SignalPass

__all__ = [
    "Embedder",
    "LoadedModel",
    "SignalPass",
    "load_model",
    "load_tokenizer",
    "model_device",
    "model_dtype",
    "model_fingerprint",
    "tokenizer_fingerprint",
]

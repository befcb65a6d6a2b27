"""GGUF files, converted once to plain models and tokenizers that load in seconds ever after.

Dequantised Q4 weights are scale × level + offset in float32, which bfloat16 cannot hold (of SmolLM2-135M's Q4_1
weights it would change 82 %, by up to 0.4 %), so the plain model is kept in float32.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from xtf.errors import ModelError, OutOfSpaceError
from xtf.model.source import cache_folder, file_fingerprint

_FORMAT = "v1"  # part of the folder name: raise it when what is written changes


def plain_model(gguf: Path) -> Path:
    """Return the folder of the plain float32 model of ``gguf``, converting it on first use."""
    return _cached(gguf, "model", _convert_model)


def plain_tokenizer(gguf: Path) -> Path:
    """Return the folder of the tokenizer of ``gguf``, converting it on first use; the weights are not read."""
    return _cached(gguf, "tokenizer", _convert_tokenizer)


def _cached(gguf: Path, part: str, convert: Callable[[Path, Path], None]) -> Path:
    folder = cache_folder() / "gguf" / f"{file_fingerprint(gguf)}-{_FORMAT}" / part
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{part}-", dir=folder.parent))
    try:
        with redirect_stderr(StringIO()):  # transformers draws a progress bar that nothing else turns off
            convert(gguf, beside)
        os.rename(beside, folder)
    except OSError as error:
        if folder.exists():  # another process was faster, with the same content
            return folder
        if error.errno == 28:
            raise OutOfSpaceError(f"{folder}: the disk is full. Free some space, or set XTF_CACHE elsewhere.") from None
        raise ModelError(f"{gguf}: cannot be converted into {folder}: {error}") from None
    except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{gguf}: transformers cannot convert this GGUF file: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _convert_model(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    marked = auto.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32, local_files_only=True)
    config = marked.config
    del config.quantization_config  # the weights are plain by now; only the mark says otherwise
    config._name_or_path = ""
    with torch.device("meta"):
        plain = auto.from_config(config, dtype=torch.float32)
    plain.load_state_dict(marked.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = marked.generation_config
    plain.save_pretrained(str(folder))


def _convert_tokenizer(gguf: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    auto: Any = AutoTokenizer
    auto.from_pretrained(str(gguf.parent), gguf_file=gguf.name, local_files_only=True).save_pretrained(str(folder))

"""The small sentence encoder: all-MiniLM-L6-v2 as int8 ONNX, from a folder that scripts/build_encoder.py wrote."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from signalbox.core.errors import ConfigError
from signalbox.embedding.extras import numpy, onnxruntime, tokenizers

MODEL, TOKENIZER, FACTS = "encoder.onnx", "tokenizer.json", "encoder.json"


class Facts(msgspec.Struct, frozen=True):
    """encoder.json."""

    id: str
    dimensions: int
    tokens_max: int
    sha256: str
    name: str = ""


class SentenceEncoder:
    """Implements encoder.Encoder. One thread: two are slower where requests want them."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError when the folder does not hold an encoder, or another one than it says."""
        runtime = onnxruntime()
        try:
            facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=Facts)
            model = (folder / MODEL).read_bytes()
            tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            raise _broken(folder, str(error)) from None
        if hashlib.sha256(model).hexdigest() != facts.sha256:
            raise _broken(folder, f"{MODEL} is not what {FACTS} says")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            self._tokenizer = tokenizers().Tokenizer.from_str(tokenizer)
        except ConfigError:
            raise
        except Exception as error:
            raise _broken(folder, str(error)) from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(facts.tokens_max)
        # Those that were built before need to be told that every token counts.
        self._masked = any(one.name == "attention_mask" for one in self._session.get_inputs())
        self._numpy = numpy()
        self.id = facts.id
        self.dimensions = facts.dimensions

    def encode(self, text: str) -> Any:
        ids = self._numpy.array([self._tokenizer.encode(text).ids], dtype="int64")
        asked = {"input_ids": ids}
        if self._masked:
            asked["attention_mask"] = self._numpy.ones_like(ids)
        return self._session.run(None, asked)[0][0]


def _broken(folder: Path, why: str) -> ConfigError:
    return ConfigError([f"{folder}: holds no encoder that can be used ({why}). Build it: scripts/build_encoder.py."])

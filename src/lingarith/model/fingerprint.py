"""What vectors are bound to: a hash of all of a backbone that changes numbers, and of what it is made."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

_VOLATILE = {"transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype", "use_cache"}
"""What a configuration holds that makes no other model."""
_NOTES = ("_", "unsloth_")
"""How notes begin that other programs leave in one, unless its class has such a key itself (Gemma 3's windows)."""
_PADDING = {"bloom": 3}
"""The padding of a family's checkpoints where its class says none."""


def identity(model: Any, tokenizer: PreTrainedTokenizerBase) -> tuple[str, dict[str, Any]]:
    """The fingerprint, and the parts by which one can say what differs.

    The fingerprint is the sha256 (hex) over configuration, names and shapes of tensors, 16 numbers of each row, and
    the vocabulary, and over the token that outputs are forced to begin with, if there is one. The numbers are
    rounded to bfloat16, so that one checkpoint has one fingerprint in float32 and in bfloat16. A quantised backbone
    has its own. Padding, which no token sees, and notes of other programs have no part in it.

    The parts are ``configuration`` (keys and values) and the beginnings of hashes of ``weights`` and ``vocabulary``.
    """
    settings, forced = configuration(model.config), model.generation_config.forced_bos_token_id
    weights, words = hashlib.sha256(), hashlib.sha256()
    whole = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())

    def update(part: Any, contents: bytes) -> None:
        part.update(contents)
        whole.update(contents)

    for name, tensor in sorted(model.named_parameters()):
        update(weights, f"{name}{tuple(tensor.shape)}".encode())
        sample = _sample(tensor.detach())
        if sample.is_floating_point():
            sample = sample.to(torch.bfloat16).view(torch.int16)
        update(weights, sample.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    for piece, index in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        update(words, f"{piece}\0{index}\n".encode())
    if forced is not None:
        whole.update(f"begins with {forced}".encode())
        settings = settings | {"forced_bos_token_id": forced}
    parts = {
        "configuration": json.loads(json.dumps(settings, default=str)),
        "weights": weights.hexdigest()[:16],
        "vocabulary": words.hexdigest()[:16],
    }
    return whole.hexdigest(), parts


def fingerprint(model: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    """The first of :func:`identity`."""
    return identity(model, tokenizer)[0]


def configuration(config: Any) -> dict[str, Any]:
    """What of a configuration changes numbers: without what is volatile, notes of other programs, and with the
    padding that its class has."""
    config, own = copy.deepcopy(config), set[str]()
    for part in (config, *(getattr(config, name, None) for name in config.sub_configs)):
        if part is not None:
            own |= _keys(type(part)().to_dict())
        if hasattr(part, "pad_token_id"):
            part.pad_token_id = _PADDING.get(part.model_type, type(part)().pad_token_id)
    lasting: dict[str, Any] = _lasting(config.to_diff_dict(), own)
    return lasting


def _keys(settings: Mapping[str, Any]) -> set[str]:
    """The keys of a configuration at every depth."""
    return {*settings}.union(*(_keys(value) for value in settings.values() if isinstance(value, dict)))


def _lasting(settings: Any, own: set[str]) -> Any:
    """A configuration at every depth without what is volatile, and what begins as notes do and is not its class's."""
    if not isinstance(settings, dict):
        return settings
    return {
        key: _lasting(value, own)
        for key, value in settings.items()
        if key not in _VOLATILE and (key in own or not str(key).startswith(_NOTES))
    }


def _sample(tensor: Tensor) -> Tensor:
    """16 numbers or a few more of each row, so that no row changes unseen; of packed 4-bit weights as many in all."""
    if tensor.ndim < 2:
        return tensor.reshape(-1)
    width = tensor.shape[-1] if tensor.shape[-1] > 1 else tensor.numel()
    return tensor.reshape(-1, width)[:, :: max(1, width // 16)]

"""What vectors are bound to: a hash of all of a backbone that changes numbers, and of what it is made."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)

from ..disk.files import json_hash
from ..disk.kept import kept
from ..disk.tensors import TensorFile, memory_of
from ..errors import LingarithError
from ..formats.checkpoints import weight_files
from .identified import state
from .snapshot import sound

_VOLATILE = {"transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype", "use_cache"}
"""What a configuration holds that makes no other model."""
_NOTES = ("_", "unsloth_")
"""How notes begin that other programs leave in one, unless its class has such a key itself (Gemma 3's windows)."""
_PADDING = {"bloom": 3}
"""The padding of a family's checkpoints where its class says none."""


def identity(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path | None = None) -> tuple[str, dict[str, Any]]:
    """The fingerprint, and the parts by which one can say what differs.

    The fingerprint is the sha256 (hex) over configuration, weights (name, shape, type and all bytes of each
    parameter), vocabulary, and the token that outputs are forced to begin with, if there is one. A quantised backbone
    has its own. Padding, which no token sees, and notes of other programs have no part in it.

    ``folder`` is the checkpoint that the model was loaded from: where the model has another type than the file, the
    file's numbers count, so that a checkpoint has one fingerprint in float32 and in bfloat16; and what was hashed is
    kept in this machine's cache, until a file there changes. The model may then be on the meta device.

    The parts are ``configuration`` (keys and values), the beginnings of the hashes of ``weights`` and ``vocabulary``,
    and ``sampled``: the fingerprint as it was when 16 numbers of each row stood for all, which older vectors have.
    Raises :class:`LingarithError` where a parameter is on the meta device and not in the folder.
    """
    settings, forced = configuration(model.config), model.generation_config.forced_bos_token_id
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    words = "".join(f"{piece}\0{index}\n" for piece, index in pieces).encode(errors="surrogatepass")
    ends = b"" if forced is None else f"begins with {forced}".encode()

    def weights() -> list[str]:
        every, some = hashlib.sha256(), hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        for name, tensor in _numbers(model, folder):
            every.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            every.update(memory_of(tensor))
            some.update(f"{name}{tuple(tensor.shape)}".encode())
            sample = _sample(tensor)
            some.update(memory_of(sample.to(torch.bfloat16) if sample.is_floating_point() else sample))
        some.update(words + ends)
        return [every.hexdigest(), some.hexdigest()]

    vocabulary = hashlib.sha256(words).hexdigest()
    facts = {"configuration": settings, "vocabulary": vocabulary, "begins with": forced}
    hashed, sampled = kept("fingerprints", facts | state(folder), weights) if folder else weights()
    if forced is not None:
        settings = settings | {"forced_bos_token_id": forced}
    parts = {
        "configuration": json.loads(json.dumps(settings, default=str)),
        "weights": hashed[:16],
        "vocabulary": vocabulary[:16],
        "sampled": sampled,
    }
    return json_hash(facts | {"weights": hashed}), parts


def identity_in(folder: Path) -> tuple[str, dict[str, Any]]:
    """The same of a checkpoint that is not loaded, one tensor after another.

    Raises :class:`LingarithError` where that cannot be: it is damaged, or names its tensors otherwise than the model.
    """
    sound(folder, None)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        with torch.device("meta"):
            model = kind.from_config(config)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if (folder / "generation_config.json").exists():
            model.generation_config = GenerationConfig.from_pretrained(folder)
    except Exception as problem:  # libraries raise some dozen kinds
        raise LingarithError(f"no backbone can be read from {folder} ({problem}); check it or choose another") from None
    if not config.is_encoder_decoder:
        model.generation_config.forced_bos_token_id = None
    return identity(model, tokenizer, folder)


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


def _numbers(model: Any, folder: Path | None) -> Iterator[tuple[str, Tensor]]:
    """The parameters by name: as they are in the folder's files, where these hold them and the model does not."""
    held: dict[str, TensorFile] = {}
    with suppress(LingarithError):  # what is there are no files of ours
        held = {name: file for file in (weight_files(folder) if folder else ()) for name in file}
    prefix = f"{model.base_model_prefix}."  # which some checkpoints leave out
    for name, parameter in sorted(model.named_parameters()):
        key = name if name in held else name.removeprefix(prefix)
        place = held[key].places[key] if key in held else None
        if place and place.shape == parameter.shape and (parameter.is_meta or place.dtype != parameter.dtype):
            yield name, held[key][key]
        elif parameter.is_meta:
            raise LingarithError(f"{folder} holds no {name} of that name and shape")
        else:
            yield name, parameter.detach()


def _sample(tensor: Tensor) -> Tensor:
    """16 numbers or a few more of each row, so that no row changes unseen; of packed 4-bit weights as many in all."""
    if tensor.ndim < 2:
        return tensor.reshape(-1)
    width = tensor.shape[-1] if tensor.shape[-1] > 1 else tensor.numel()
    return tensor.reshape(-1, width)[:, :: max(1, width // 16)]

"""A backbone from where it lies: the hub, a folder, a file of GGUF, the package, or a model in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from .. import __version__
from ..disk.kept import cache_folder, kept
from ..errors import LingarithError, did_you_mean, first_sentence
from ..formats.checkpoints import folder_of
from ..formats.gguf import about, lacking
from ..newsroom import NEWSROOM
from ..plain import record
from ..progress import Progress, quiet
from .backbone import Backbone, Skeleton
from .fingerprint import identity
from .identified import keep, state
from .limits import must_have_rows, positions
from .projections import home, linears, projections, sizes
from .snapshot import sound
from .speed import quick_type

HALF = ("bfloat16", "float16")
DTYPES = ("auto", "float32", *HALF)


def load(
    name: str = NEWSROOM,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str | None = None,
    bits: int | None = None,
    device_map: str | None = None,
    progress: Progress = quiet,
) -> Backbone:
    """A backbone from the hub, a folder, a file of GGUF (see :mod:`..formats.gguf`), or the package (``newsroom``).

    ``dtype`` is "float32", "bfloat16", "float16", or "auto": that of the checkpoint, and on a processor what is quick
    there (:mod:`.speed`), which ``made`` then says as ``computed``; a half type that was asked for it says as
    ``weights``. ``bits`` (8 or 4, by bitsandbytes) and ``device_map`` are handed to transformers; without ``device`` it
    is the first accelerator, else the processor. Code from the hub is never run and only safetensors are read.

    Raises :class:`LingarithError` when there is no such model or it cannot be adapted.
    """
    if dtype not in DTYPES:
        raise LingarithError(f"no type of weights is named {dtype!r}{did_you_mean(dtype, DTYPES)}")
    where, packed = _place(name, revision, progress), _packed(bits)
    if device_map is None and bits is None:
        device = device or _best_device()
    # Without this False, transformers asks on the terminal whether to run a repository's code.
    common: dict[str, Any] = {"trust_remote_code": False}
    with _refused(name):
        folder = sound(where, revision)
        common["revision"] = revision if folder == where else folder.name  # what was looked at is what is loaded
        config = AutoConfig.from_pretrained(where, **common)
        tokenizer = _padding(AutoTokenizer.from_pretrained(where, **common))
    commit, made = getattr(config, "_commit_hash", None) or revision, about(where)
    if dtype in HALF:
        made["weights"] = dtype
    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = partial(_weights, kind, name, where, dtype=dtype, device_map=device_map, **common, **packed)
    if device_map is not None or bits is not None or not any(folder.glob("*.safetensors")):
        read = model() if device is None else model().to(device)
        return wrap(read, tokenizer, name=name, revision=commit, folder=None if bits else folder, made=made)
    # What is known of a backbone is kept, and its numbers are read when something is computed with them.
    known, stored, first = _known(model, tokenizer, name, folder, dtype)
    computed = stored
    if dtype == "auto" and device == "cpu":
        computed, why = quick_type(computed)
        if why:
            made["computed"] = f"in {str(computed).removeprefix('torch.')}, since {why} on this processor"

    def loading() -> nn.Module:
        read = first.pop() if first else model()
        if skeleton(read, tokenizer, name, folder) != known:
            raise LingarithError(f"{folder} changed while it was in use; run the same command again")
        if computed != stored:  # else some parts keep a type of their own (rotary tables, T5's wo)
            read.to(computed)
        return read.to(device)

    where_to = torch.device(str(device))
    return Backbone(
        **vars(known), name=name, revision=commit, tokenizer=tokenizer, loading=loading, device=where_to, made=made
    )


def _known(
    model: Callable[[], nn.Module], tokenizer: Any, name: str, folder: Path, dtype: str
) -> tuple[Skeleton, torch.dtype, list[nn.Module]]:
    """What is known of a backbone, and the type that its numbers have; and the model, where it had to be read."""
    first: list[nn.Module] = []
    files = state(folder, "*")

    def look() -> Iterator[Any]:
        first.append(model())
        found = skeleton(first[0], tokenizer, name, folder)
        keep(files, lambda: (found.fingerprint, found.parts))  # for a merged checkpoint, which needs no more of it
        yield str(first[0].dtype).removeprefix("torch."), asdict(found)

    facts = {"dtype": dtype, "version": __version__, "keys": [key.name for key in fields(Skeleton)]}
    [(stored, values)] = kept("backbones", facts | files, look)
    known = record(Skeleton, values, f"what is kept of {name}", mend=f"delete {cache_folder() / 'backbones'}")
    return known, getattr(torch, stored), first


def _weights(kind: Any, name: str, where: str | Path, **how: Any) -> Any:
    """The model with its numbers, frozen. Raises :class:`LingarithError` where some of them are not there."""
    with _refused(name), _without_bar():
        read, report = kind.from_pretrained(
            where, use_safetensors=True, output_loading_info=True,
            ignore_mismatched_sizes=True, **how,  # mismatches are said below, in one sentence
        )  # fmt: skip
    if absent := lacking(report):
        raise LingarithError(
            f"{name!r} holds no fitting weights for {len(absent)} tensors of {type(read).__name__} ({absent[0]} …),"
            " and random ones would take their place; choose a complete checkpoint"
        )
    return _frozen(read)


@contextmanager
def _refused(name: str) -> Iterator[None]:
    """While open, whatever libraries raise is one sentence about the backbone of that name."""
    try:
        yield
    except (LingarithError, MemoryError):
        raise
    except Exception as problem:  # libraries raise some dozen kinds
        raise LingarithError(
            f"no backbone can be loaded from {name!r} ({first_sentence(problem)}); check it or choose another"
        ) from problem


def _packed(bits: int | None) -> dict[str, Any]:
    """How transformers is told to pack weights into so many bits."""
    if bits is None:
        return {}
    if bits not in (4, 8):
        raise LingarithError(f"bits={bits} is not known; choose 4 or 8, or leave it out")
    from transformers import BitsAndBytesConfig

    packing: Any = BitsAndBytesConfig
    return {"quantization_config": packing(load_in_4bit=bits == 4, load_in_8bit=bits == 8)}


@contextmanager
def _without_bar() -> Iterator[None]:
    """While open, transformers draws no bar on stderr; downloads keep theirs, which its public switch takes too."""
    drawn = logging.is_progress_bar_enabled()
    logging._tqdm_active = False
    try:
        yield
    finally:
        logging._tqdm_active = drawn


def _place(name: str, revision: str | None, progress: Progress) -> str | Path:
    """The folder that a name means, checked, or the name itself where it is one of the hub."""
    folder = folder_of(name, revision, progress)
    if folder is None:
        if re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
            return name
        raise LingarithError(f"there is no folder {name}; give a folder with a model, a name on the hub, or {NEWSROOM}")
    if not (folder / "config.json").exists():
        raise LingarithError(f"{name} holds no model (no config.json); give the folder that save_pretrained wrote")
    if not any(folder.glob("*.safetensors")):
        raise LingarithError(
            f"{name} has no weights in safetensors, and other files are not read since a pickle can run code; "
            "save the model again with save_pretrained"
        )
    return folder


def wrap(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    *,
    name: str,
    revision: str | None = None,
    folder: Path | None = None,
    made: Mapping[str, Any] = MappingProxyType({}),
) -> Backbone:
    """A :class:`Backbone` around a transformers model and tokenizer: frozen, in evaluation mode.

    ``folder`` is where its numbers were read from, if they were: see :func:`.fingerprint.identity`.
    """
    known = skeleton(_frozen(model), _padding(tokenizer), name, folder)
    return Backbone(
        **vars(known), name=name, revision=revision, tokenizer=tokenizer, loading=lambda: model,
        device=next(model.parameters()).device, made=made,
    )  # fmt: skip


def skeleton(model: Any, tokenizer: PreTrainedTokenizerBase, name: str, folder: Path | None) -> Skeleton:
    """What is known of a frozen model without its numbers. Raises :class:`LingarithError` if it cannot be adapted."""
    attention = projections(model)
    every = linears(model, attention)
    if any(home(module).type == "meta" for module in every.values()):
        raise LingarithError(
            f"{name} does not fit in memory, and weights that were put elsewhere cannot be adapted; "
            "use bits=8 or 4, or a smaller backbone"
        )
    forced = model.generation_config.forced_bos_token_id
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next((k for k in range(len(whole)) if whole[k : k + len(plain)] == plain), 0)
    used = {*whole, forced, tokenizer.pad_token_id, tokenizer.eos_token_id} - {None}
    fingerprint, parts = identity(model, tokenizer, folder)
    return Skeleton(
        encoder_decoder=bool(model.config.is_encoder_decoder),
        attention=[*attention],
        sizes={path: sizes(module) for path, module in every.items()},
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        positions=positions(model),
        fingerprint=fingerprint,
        parts=parts,
        opening=list(whole[:at]),
        closing=list(whole[at + len(plain) :]) if model.config.is_encoder_decoder else [],
        beginning=[] if forced is None else [forced],
        rows=must_have_rows(model, tokenizer, used, name),
    )


def _frozen(model: Any) -> Any:
    """A model in evaluation mode that no gradient changes, without a checkpoint's own ways to write."""
    model.requires_grad_(False)
    model.eval()
    # A checkpoint's sampling and penalties have no part in greedy and beam search.
    usual = model.generation_config
    forced = usual.forced_bos_token_id if model.config.is_encoder_decoder else None
    model.generation_config = GenerationConfig(
        decoder_start_token_id=usual.decoder_start_token_id, forced_bos_token_id=forced
    )
    return model


def _padding(tokenizer: Any) -> Any:
    """A tokenizer that can fill up rows."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"

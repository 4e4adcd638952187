"""The frozen language model, its tokenizer, and the two ways to put an update on it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from ..adapters.terms import mapped
from ..errors import LingarithError, did_you_mean
from ..formats.checkpoints import folder_of
from ..newsroom import NEWSROOM
from ..unicode import composed
from ..vectors.vector import Update
from .projections import home, projections, sizes

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Backbone:
    """A frozen model with its tokenizer.

    ``projections`` maps paths to the Key, Query, Value and output matrices (see
    :mod:`.projections`); ``fingerprint`` (hex) is what vectors are bound to; ``opening`` and
    ``closing`` are the tokens that stand around an input (T5: EOS after it, Llama: BOS before it).
    """

    name: str
    revision: str | None
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    projections: Mapping[str, nn.Module]
    fingerprint: str
    opening: Sequence[int]
    closing: Sequence[int]

    @property
    def encoder_decoder(self) -> bool:
        """True for T5-like models, False for decoder-only ones."""
        return bool(self.model.config.is_encoder_decoder)  # type: ignore[union-attr]

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return next(self.model.parameters()).device

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(out, in) of each projection."""
        return {path: sizes(module) for path, module in self.projections.items()}

    @property
    def facts(self) -> dict[str, Any]:
        """What a vector's origin says about its backbone."""
        count = sum(p.numel() for p in self.model.parameters())
        return {"name": self.name, "revision": self.revision, "fingerprint": self.fingerprint, "parameters": count}

    @property
    def eos(self) -> int:
        """The token that ends an output."""
        if self.tokenizer.eos_token_id is None:
            raise LingarithError(f"the tokenizer of {self.name} has no end-of-sequence token; outputs would never end")
        return int(self.tokenizer.eos_token_id)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, whichever way its letters are encoded; nothing added."""
        if not texts:
            return []
        rows: Any = self.tokenizer(list(map(composed, texts)), add_special_tokens=False, verbose=False)["input_ids"]
        return list(rows)

    def framed(self, ids: Sequence[int], longest: int | None = None) -> list[int]:
        """The tokens of an input with what stands around it, cut to ``longest`` in all."""
        room = None if longest is None else max(1, longest - len(self.opening) - len(self.closing))
        return [*self.opening, *ids[:room], *self.closing]

    @contextmanager
    def adding(self, add: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
        """While open, each projection's output has ``add[path](input)`` added; then it is gone.

        By forward hooks, so that no module is replaced and a quantised one works.
        """
        handles = []
        try:
            for path, f in add.items():
                handles.append(self.projections[path].register_forward_hook(_hook(f)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def replacing(self, parameters: Mapping[str, Tensor]) -> Iterator[None]:
        """While open, the model has the given tensors in place of its parameters of those names; then its own again.

        A parameter that is tied has several places, and is replaced in all of them.
        """
        weights = dict(self.model.named_parameters())
        # By identity: a tied parameter has one name here and several places.
        instead = {id(weights[name]): tensor for name, tensor in parameters.items()}
        places = [
            (module, key, held)
            for module in self.model.modules()
            for key, held in module.named_parameters(recurse=False, remove_duplicate=False)
            if id(held) in instead
        ]
        try:
            for module, key, held in places:
                module._parameters[key] = instead[id(held)]  # type: ignore[assignment]  # a view of one is none
            yield
        finally:
            for module, key, held in places:
                module._parameters[key] = held

    @contextmanager
    def using(self, update: Update | None) -> Iterator[None]:
        """While open, the model is the backbone plus the update; afterwards it is as before, bit for bit.

        Dense weights are replaced by W + ΔW, computed in float32; projections whose weights are
        packed (8 and 4 bit) have each term added to their output instead.
        """
        if update is None:
            yield
            return
        self.must_fit(update)
        dense = {f"{path}.weight": path for path, module in self.projections.items() if _is_dense(module)}
        weights, changed = dict(self.model.named_parameters()), {}
        for name in (*dense, *update.rest):
            device = weights[name].device
            change = update.delta(dense[name], device) if name in dense else update.rest[name]
            # In float32, and rounded once: in a half type ΔW would be rounded by itself too.
            summed = (weights[name].data.float() + change.to(device)).to(weights[name].dtype)
            changed[name] = nn.Parameter(summed, requires_grad=False)
        packed = {
            path: _terms_as_function(update, path, home(module))
            for path, module in self.projections.items()
            if f"{path}.weight" not in dense
        }
        with self.replacing(changed), self.adding(packed):
            yield

    def must_fit(self, update: Update) -> None:
        """Raise :class:`LingarithError` unless the update has this backbone's projections and parameters."""
        if set(update.terms) != set(self.projections):
            path = sorted(set(update.terms) ^ set(self.projections))[0]
            raise LingarithError(f"the update does not fit {self.name}: only one of the two has a projection {path}")
        for path, size in self.shapes.items():
            for term in update.terms[path]:
                if term.size != size:
                    raise self._misfit(path, size, term.size)
        weights = dict(self.model.named_parameters()) if update.rest else {}
        for name, change in update.rest.items():
            if name not in weights or not weights[name].is_floating_point():
                raise LingarithError(
                    f"the update does not fit {self.name}: {name} is no parameter there to which something can be "
                    "added; take the backbone that was trained, not quantised"
                )
            if weights[name].shape != change.shape:
                raise self._misfit(name, weights[name].shape, change.shape)

    def _misfit(self, what: str, ours: Sequence[int], its: Sequence[int]) -> LingarithError:
        here, there = (" × ".join(map(str, shape)) for shape in (ours, its))
        return LingarithError(
            f"the update does not fit {self.name}: {what} is {here} there and {there} in the update; "
            "compose it of vectors of this backbone"
        )


def load(
    name: str = NEWSROOM,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str | None = None,
    bits: int | None = None,
    device_map: str | None = None,
) -> Backbone:
    """A backbone from the hub, a folder, or the package (``newsroom``).

    ``dtype`` ("auto", "float32", "bfloat16", "float16"), ``bits`` (8 or 4, by bitsandbytes) and
    ``device_map`` are handed to transformers; without ``device`` it is the first accelerator, else
    the processor. Code from the hub is never run and only safetensors are read.

    Raises :class:`LingarithError` when there is no such model or it cannot be adapted.
    """
    if dtype not in DTYPES:
        raise LingarithError(f"no type of weights is named {dtype!r}{did_you_mean(dtype, DTYPES)}")
    where = _place(name)
    quantised: dict[str, Any] = {}
    if bits is not None:
        if bits not in (4, 8):
            raise LingarithError(f"bits={bits} is not known; choose 4 or 8, or leave it out")
        from transformers import BitsAndBytesConfig

        packing: Any = BitsAndBytesConfig
        quantised = {"quantization_config": packing(load_in_4bit=bits == 4, load_in_8bit=bits == 8)}
    try:
        # Without this False, transformers asks on the terminal whether to run a repository's code.
        common: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(where, **common)
        kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        with _without_bar():
            model, report = kind.from_pretrained(
                where,
                dtype=dtype,
                device_map=device_map,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # reported below, in one sentence
                output_loading_info=True,
                **common,
                **quantised,
            )
        tokenizer = AutoTokenizer.from_pretrained(where, **common)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as problem:
        why = " ".join(str(problem).split()).split(". ")[0].rstrip(". ")[:200] or type(problem).__name__
        raise LingarithError(
            f"no backbone can be loaded from {name!r} ({why}); check it or choose another"
        ) from problem
    absent = sorted([*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])])
    if absent:
        raise LingarithError(
            f"{name!r} holds no fitting weights for {len(absent)} tensors of {type(model).__name__} ({absent[0]} …), "
            "and random ones would take their place; choose a complete checkpoint"
        )
    if device_map is None and bits is None:
        model.to(device or _best_device())
    return wrap(model, tokenizer, name=name, revision=getattr(config, "_commit_hash", None) or revision)


@contextmanager
def _without_bar() -> Iterator[None]:
    """While open, transformers draws no bar on stderr; downloads keep theirs, which its public switch takes too."""
    drawn = logging.is_progress_bar_enabled()
    logging._tqdm_active = False
    try:
        yield
    finally:
        logging._tqdm_active = drawn


def _place(name: str) -> str | Path:
    """The folder that a name means, checked, or the name itself where it is one of the hub."""
    folder = folder_of(name)
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


def wrap(model: Any, tokenizer: PreTrainedTokenizerBase, *, name: str, revision: str | None = None) -> Backbone:
    """A :class:`Backbone` around a transformers model and tokenizer: frozen, in evaluation mode."""
    model.requires_grad_(False)
    model.eval()
    # A checkpoint's sampling and penalties have no part in greedy and beam search.
    start = model.generation_config.decoder_start_token_id
    model.generation_config = GenerationConfig(decoder_start_token_id=start)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    linears = projections(model)
    if any(home(module).type == "meta" for module in linears.values()):
        raise LingarithError(
            f"{name} does not fit in memory, and weights that were put elsewhere cannot be adapted; "
            "use bits=8 or 4, or a smaller backbone"
        )
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next((k for k in range(len(whole)) if whole[k : k + len(plain)] == plain), 0)
    closing = whole[at + len(plain) :] if model.config.is_encoder_decoder else []
    return Backbone(name, revision, model, tokenizer, linears, fingerprint(model, tokenizer), whole[:at], closing)


_VOLATILE = {"transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype", "use_cache"}
"""What a configuration holds that makes no other model."""


def fingerprint(model: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 over configuration, names and shapes of tensors, 16 numbers of each row, and the vocabulary.

    The numbers are rounded to bfloat16, so that one checkpoint has one fingerprint in float32 and
    in bfloat16. A quantised backbone has its own.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps(_lasting(model.config.to_diff_dict()), sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.named_parameters()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        sample = _sample(tensor.detach())
        if sample.is_floating_point():
            sample = sample.to(torch.bfloat16).view(torch.int16)
        digest.update(sample.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    for piece, index in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        digest.update(f"{piece}\0{index}\n".encode())
    return digest.hexdigest()


def _lasting(settings: Any) -> Any:
    """A configuration without what is volatile, at every depth."""
    if not isinstance(settings, dict):
        return settings
    return {key: _lasting(value) for key, value in settings.items() if key not in _VOLATILE}


def _sample(tensor: Tensor) -> Tensor:
    """16 numbers or a few more of each row, so that no row changes unseen; of packed 4-bit weights as many in all."""
    if tensor.ndim < 2:
        return tensor.reshape(-1)
    width = tensor.shape[-1] if tensor.shape[-1] > 1 else tensor.numel()
    return tensor.reshape(-1, width)[:, :: max(1, width // 16)]


def _hook(add: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    return lambda _, inputs, output: output + add(inputs[0]).to(output.dtype)


def _is_dense(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.is_floating_point() and weight.ndim == 2


def _terms_as_function(update: Update, path: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    terms = [mapped(term, lambda tensor: tensor.to(device)) for term in update.terms[path]]

    def add(x: Tensor) -> Tensor:
        return torch.stack([term.apply(x.to(term[0].dtype)) for term in terms]).sum(0)

    return add


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"

"""The one training loop: a frozen backbone and a small adapter, or all of the backbone; AdamW, warm-up, linear decay.

A run is a pure function of backbone, data, options and step, and its checkpoint holds the
step, the factors and the optimiser's two moments: stopped at any moment and started again, it
ends with the same bits.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from ..adapters import kronecker, lora
from ..adapters.dense import Full
from ..adapters.kronecker import Kronecker
from ..adapters.lora import Lora
from ..adapters.terms import Term
from ..errors import LingarithError
from ..vectors.files import write_atomically
from ..vectors.tensors import read_safetensors, write_safetensors
from ..vectors.vector import Vector, content_hash
from . import full
from .backbone import Backbone
from .batches import Batch, TrainingData, batch_of, collate
from .projections import home

CHECKPOINT, LOG = "checkpoint.safetensors", "log.jsonl"
Adapter = Lora | Kronecker | Full
FUNCTIONS: dict[type, ModuleType] = {Lora: lora, Kronecker: kronecker}
"""Where the functions of an adapter are; full fine-tuning has parameters of the backbone in place of factors."""
Watch = Callable[[int, int, float], None]
"""Called after each step with (steps done, steps in all, loss)."""


@dataclass(frozen=True)
class TrainOptions:
    """How a vector is trained. The paper: rank 4, learning rate 2e-4, 5,000 steps."""

    steps: int = 5000
    batch_size: int = 16
    """Examples in a step, over all micro-batches."""
    learning_rate: float = 2e-4
    adapter: Adapter = field(default_factory=Lora)
    warmup: float = 0.05
    """Share of the steps in which the rate rises from 0."""
    weight_decay: float = 0.0
    clip: float = 1.0
    """Largest norm of the gradient over the whole vector."""
    accumulation: int = 1
    """Micro-batches in a step."""
    max_input: int = 512
    max_target: int = 128
    """Tokens. Plain text is cut into chunks of ``max_input``."""
    seed: int = 0
    """Order of examples and places of splits."""
    init_seed: int = 0
    """Where the factors start; one for all vectors that are to be added in factor space."""
    precision: str = "auto"
    """float32 or bfloat16 (autocast); auto is bfloat16 on accelerators that have it."""
    activation_checkpointing: bool = False
    bidirectional_prefix: bool = False
    checkpoint_every: int = 100
    validate_every: int = 0
    """0: only at the end."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "max_input", "max_target", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise LingarithError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("seed", "init_seed"):
            if getattr(self, name) < 0:
                raise LingarithError(f"{name}={getattr(self, name)} must be 0 or more")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise LingarithError(f"{name}={value} must be a positive number")
        if not 0 <= self.warmup <= 1:
            raise LingarithError(f"warmup={self.warmup} is a share of the steps, so it must lie in 0..1")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise LingarithError(f"weight_decay={self.weight_decay} must be 0 or a positive number")
        if self.batch_size % self.accumulation:
            raise LingarithError(
                f"batch_size={self.batch_size} cannot be shared out over accumulation={self.accumulation} micro-batches"
            )
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise LingarithError(f"precision={self.precision!r} is none of auto, float32, bfloat16")

    def rate(self, step: int) -> float:
        """The learning rate of a step (from 0): linear up over the warm-up, then linear down to 0."""
        warm = max(1, round(self.warmup * self.steps))
        left = (self.steps - step) / max(1, self.steps - warm)
        return self.learning_rate * min((step + 1) / warm, left, 1.0)


@dataclass
class _State:
    """All that changes in training."""

    step: int
    factors: dict[str, tuple[nn.Parameter, ...]]
    """With a leading axis of K = 1 vectors; of full fine-tuning one for each parameter of the backbone."""
    optimizer: torch.optim.Optimizer
    log: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0

    def leaves(self) -> dict[str, Tensor]:
        return {f"{path}.{w}": t for path, pair in self.factors.items() for w, t in zip("ab", pair, strict=False)}


def train(
    backbone: Backbone,
    data: TrainingData,
    options: TrainOptions,
    *,
    name: str,
    origin: dict[str, Any],
    folder: Path,
    validation: TrainingData | None = None,
    watch: Watch | None = None,
) -> Vector:
    """A vector trained on ``data``.

    ``folder`` is kept for this run alone: it holds the last checkpoint and ``log.jsonl`` (step,
    loss, rate, tokens, padding; validation loss), and a run finds its state there. ``origin``
    says what the vector is trained on; the options, seeds and cost are added to it.

    Raises :class:`LingarithError` when loss or gradient are no longer numbers (the checkpoint stays),
    and where a quantised backbone is to be fine-tuned in full.
    """
    state, start_hash = _start(backbone, options, folder)
    began = time.perf_counter() - state.seconds
    with _attached(backbone, state.factors, options):
        while state.step < options.steps:
            items = batch_of(data, options.seed, state.step, options.batch_size)
            loss, tokens, positions = _step(backbone, items, state, options)
            if not math.isfinite(loss):
                kept = f"{folder} keeps the last good state" if (folder / CHECKPOINT).exists() else "nothing was kept"
                raise LingarithError(
                    f"training {name}: loss or gradient is no longer a number at step {state.step + 1} ({kept}); "
                    f"lower the learning rate ({options.learning_rate:g}) or train in float32"
                )
            state.step += 1
            state.tokens += tokens
            padding = round(1 - tokens / positions, 4)
            rate = options.rate(state.step - 1)
            state.log.append({"step": state.step, "loss": loss, "rate": rate, "tokens": tokens, "padding": padding})
            done = state.step == options.steps
            if validation and (done or (options.validate_every and state.step % options.validate_every == 0)):
                state.log.append({"step": state.step, "validation_loss": mean_loss(backbone, validation, options)})
            if done or state.step % options.checkpoint_every == 0:
                state.seconds = time.perf_counter() - began
                _save(folder, state)
            if watch:
                watch(state.step, options.steps, loss)
    finished, rest = _finished(backbone, state, options.adapter)
    cost = {"seconds": round(state.seconds, 2), "tokens": state.tokens, "examples": options.steps * options.batch_size}
    return Vector(
        name,
        finished,
        options.adapter.scale,
        origin
        | {
            "backbone": backbone.facts,
            "adapter": options.adapter.facts,
            "init_seed": options.init_seed,
            "init_hash": start_hash,
            "seed": options.seed,
            "steps": options.steps,
            "options": asdict(options),
            "versions": versions(),
            "cost": cost,
        },
        rest,
    )


def mean_loss(backbone: Backbone, data: TrainingData, options: TrainOptions, *, limit: int = 256) -> float:
    """Mean cross-entropy (nats a token) over the first ``limit`` examples, under whatever update is attached."""
    total, count = 0.0, 0
    numbers = range(min(limit, len(data)))
    for start in range(0, len(numbers), options.batch_size):
        items = [data.item(k, options.seed, k) for k in numbers[start : start + options.batch_size]]
        batch = collate(backbone, items, bidirectional_prefix=options.bidirectional_prefix)
        with torch.no_grad(), _autocast(backbone, options.precision):
            loss, real = summed_loss(backbone, batch)
        total, count = total + loss.item(), count + real
    return total / count


def summed_loss(backbone: Backbone, batch: Batch) -> tuple[Tensor, int]:
    """Cross-entropy summed over the tokens that are taught, and how many they are."""
    logits = backbone.model(**batch.inputs, use_cache=False).logits
    taught = batch.labels != -100
    loss = nn.functional.cross_entropy(logits[taught].float(), batch.labels[taught], reduction="sum")
    return loss, int(taught.sum())


def versions() -> dict[str, str]:
    """What the libraries were that a vector was made with."""
    import transformers

    from .. import __version__

    return {"lingarith": __version__, "torch": str(torch.__version__), "transformers": transformers.__version__}


def _step(backbone: Backbone, items: list[Any], state: _State, options: TrainOptions) -> tuple[float, int, int]:
    """One update of the factors; (mean loss, tokens, positions with padding).

    Where loss or gradient is no number, the factors stay as they are and the loss comes back NaN.
    """
    size = options.batch_size // options.accumulation
    batches = [
        collate(backbone, items[k : k + size], bidirectional_prefix=options.bidirectional_prefix)
        for k in range(0, len(items), size)
    ]
    taught = sum(int((batch.labels != -100).sum()) for batch in batches)
    total = 0.0
    for batch in batches:
        with _autocast(backbone, options.precision):
            loss, _ = summed_loss(backbone, batch)
        (loss / taught).backward()
        total += loss.item()
    norm = nn.utils.clip_grad_norm_(state.leaves().values(), options.clip).item()
    good = math.isfinite(total) and math.isfinite(norm)
    if good:
        for group in state.optimizer.param_groups:
            group["lr"] = options.rate(state.step)
        state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    return total / taught if good else math.nan, sum(b.tokens for b in batches), sum(b.size for b in batches)


def _finished(
    backbone: Backbone, state: _State, adapter: Adapter
) -> tuple[dict[str, tuple[Term, ...]], dict[str, Tensor]]:
    """The terms of the trained vector, and what it changes beside the projections."""
    if isinstance(adapter, Full):
        return full.changes(backbone, {name: own for name, (own,) in state.factors.items()})
    unstacked = FUNCTIONS[type(adapter)].unstacked
    return {path: (unstacked(a.detach().cpu(), b.detach().cpu())[0],) for path, (a, b) in state.factors.items()}, {}


def _on(
    backbone: Backbone, factors: dict[str, tuple[nn.Parameter, ...]], adapter: Adapter
) -> AbstractContextManager[None]:
    """The trainable vector on the backbone: added by hooks, or in the place of its parameters."""
    if isinstance(adapter, Full):
        return backbone.replacing({name: own for name, (own,) in factors.items()})
    apply = FUNCTIONS[type(adapter)].apply
    return backbone.adding({path: partial(apply, a, b, adapter.scale) for path, (a, b) in factors.items()})


@contextmanager
def _attached(
    backbone: Backbone, factors: dict[str, tuple[nn.Parameter, ...]], options: TrainOptions
) -> Iterator[None]:
    """The trainable vector on the backbone, with activation checkpointing where it is asked for."""
    with _on(backbone, factors, options.adapter):
        if not options.activation_checkpointing:
            yield
            return
        # transformers' own switch works in training mode only, where dropout is on.
        layers = [m for m in backbone.model.modules() if isinstance(m, GradientCheckpointingLayer)]
        before = [vars(layer).get("forward") for layer in layers]  # device_map puts one there
        try:
            for layer in layers:
                layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
            yield
        finally:
            for layer, forward in zip(layers, before, strict=True):
                del layer.forward
                if forward is not None:
                    layer.forward = forward


def _autocast(backbone: Backbone, precision: str) -> torch.autocast:
    device = backbone.device.type
    capable = device == "cuda" and torch.cuda.is_bf16_supported()
    wanted = precision == "bfloat16" or (precision == "auto" and capable)
    return torch.autocast(device, torch.bfloat16, enabled=wanted)


def _start(backbone: Backbone, options: TrainOptions, folder: Path) -> tuple[_State, str | None]:
    """The state to begin or to go on with, and the hash of the initial factors, if there are any."""
    first, start_hash = _initial(backbone, options)
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / CHECKPOINT
    saved = read_safetensors(place, mend="delete it to train from the start") if place.exists() else {}
    factors = {
        path: tuple(nn.Parameter(saved.get(f"{path}.{w}", t).to(t.device)) for w, t in zip("ab", tensors, strict=False))
        for path, tensors in first.items()
    }
    leaves = [tensor for pair in factors.values() for tensor in pair]
    optimizer = torch.optim.AdamW(leaves, lr=options.learning_rate, weight_decay=options.weight_decay, fused=True)
    state = _State(0, factors, optimizer)
    if saved:
        counts = json.loads(bytes(saved["counts"].tolist()))
        state.step, state.seconds, state.tokens = counts["step"], counts["seconds"], counts["tokens"]
        lines = (folder / LOG).read_text(encoding="utf-8").splitlines() if (folder / LOG).exists() else []
        state.log = [entry for entry in map(json.loads, lines) if entry["step"] <= state.step]
        for key, leaf in state.leaves().items():
            if f"{key}.exp_avg" not in saved:
                continue  # no gradient has reached it
            moments = {name: saved[f"{key}.{name}"].to(leaf.device) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[leaf] = {"step": torch.tensor(float(state.step), device=leaf.device)} | moments
    return state, start_hash


def _initial(backbone: Backbone, options: TrainOptions) -> tuple[dict[str, tuple[Tensor, ...]], str | None]:
    """What training starts from, where it belongs, and its hash; full fine-tuning starts from the backbone."""
    if isinstance(options.adapter, Full):
        return {name: (own,) for name, own in full.parameters(backbone).items()}, None
    start = options.adapter.init(backbone.shapes, options.init_seed)
    stacked = FUNCTIONS[type(options.adapter)].stacked
    first = {
        path: tuple(factor.to(home(backbone.projections[path])) for factor in stacked([term]))
        for path, term in start.items()
    }
    return first, content_hash(Vector("", {path: (term,) for path, term in start.items()}, 1.0).tensors())


def _save(folder: Path, state: _State) -> None:
    """The log first, then the checkpoint: lines that it does not cover are dropped on resuming."""
    write_atomically(folder / LOG, "".join(json.dumps(line) + "\n" for line in state.log))
    tensors = {}
    for key, leaf in state.leaves().items():
        tensors[key] = leaf.detach()
        moments = state.optimizer.state.get(leaf, {})  # none where the model does not use a parameter
        tensors |= {f"{key}.{moment}": moments[moment] for moment in ("exp_avg", "exp_avg_sq") if moment in moments}
    counts = json.dumps({"step": state.step, "seconds": state.seconds, "tokens": state.tokens})
    tensors["counts"] = torch.tensor(list(counts.encode()), dtype=torch.uint8)
    write_safetensors(folder / CHECKPOINT, tensors)

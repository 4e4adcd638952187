"""A vector in training, and vectors side by side: what is each one's own, and what they share in a pass.

A member's factors lie in one flat tensor (one for each device), so that clipping and AdamW are a few
calls for a vector however many projections it has. In a :class:`Stack` the flat tensors of its members
are the rows of one, and the factors with a leading axis K, which adapters take, are views of that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.utils.checkpoint import checkpoint as recomputed

from .. import plain
from ..adapters.kinds import Adapter, Factored
from ..adapters.terms import Term
from ..disk.files import json_hash, make_folder, reading, write_atomically
from ..disk.tensors import read_safetensors, write_safetensors
from ..errors import LingarithError
from ..vectors.outline import FlatTensors
from ..vectors.vector import Vector, content_hash
from . import full
from .backbone import Backbone
from .batches import Item, Stream, TrainingData
from .layout import Flat, Layout
from .options import ATTENTION, TrainOptions
from .projections import home, kinds

CHECKPOINT, LOG = "checkpoint.safetensors", "log.jsonl"
MEND = f"delete {CHECKPOINT} there to train from the start, or restore both files from a copy"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, eq=False)
class Training:
    """One vector to be trained.

    ``folder`` is kept for it alone: it holds the last checkpoint and ``log.jsonl`` (step, loss, rate,
    tokens, padding; validation loss), and the training finds its state there. ``origin`` says what
    the vector is trained on; the options, seeds and cost are added to it.
    """

    name: str
    data: TrainingData
    options: TrainOptions
    folder: Path
    origin: Mapping[str, Any] = field(default_factory=dict)
    validation: TrainingData | None = None
    saved: Callable[[], None] | None = None
    """Called after each checkpoint."""
    logged: Callable[[Mapping[str, float]], None] | None = None
    """Called after each step with what it put into the log."""
    start: Vector | None = None
    """The vector that it goes on from, of the same adapter; without one it begins with factors of its own."""


@dataclass(frozen=True)
class Counts:
    """How far a training is, as its checkpoint says, and the hash of all that stands there and in the log."""

    step: int
    seconds: float
    tokens: int
    sha256: str = ""


def log_lines(log: Path) -> list[dict[str, Any]]:
    """The lines of a training's log; none where there is no file. Raises :class:`LingarithError` for a damaged one."""
    if not log.exists():
        return []
    with reading(log, MEND):
        lines = log.read_bytes().splitlines()
    return [logged(line, f"{log}, line {number}") for number, line in enumerate(lines, 1)]


def logged(line: bytes, where: str) -> dict[str, Any]:
    """One line of a training's log; a loss may be NaN. Raises :class:`LingarithError` for a damaged one."""
    entry = plain.json_object(line, where, MEND, finite=False)
    plain.value(int, entry.get("step"), f"{where}: 'step'")
    return entry


class Member:
    """All that changes while a vector is trained, begun anew or from its checkpoint, whoever is trained beside it."""

    def __init__(self, backbone: Backbone, training: Training) -> None:
        self.training, options = training, training.options
        self.step, self.seconds, self.tokens = 0, 0.0, 0
        self.log: list[dict[str, float]] = []
        self.problem: str | None = None
        """Why it cannot go on."""
        if not len(training.data):
            raise LingarithError(f"training {training.name}: there are no examples")
        # Text is tokenised here, so that what is wrong with it stops this vector alone.
        validated = training.validation is not None and len(training.validation) > 0
        if options.patience and not validated:
            raise LingarithError(
                f"training {training.name}: patience={options.patience} needs validation data and there are none; "
                "give a validation split, leave some text over, or set patience=0"
            )
        self._stream = Stream(training.data, options.seed, options.batch_size)
        factors, self.start_hash = _initial(backbone, options, training.start)
        self.frozen = {key: factors.pop(key) for key in [*factors] if options.freeze_a and key.endswith(".a")}
        self.layout = Layout.of(factors)
        self.flat = {device: nn.Parameter(flat) for device, flat in self.layout.flat(factors).items()}  # N
        self._losses: dict[int, float] = {}
        """Validation losses, by step."""
        self._best: Flat = self.flat
        """The state with the lowest validation loss, where training may end early."""
        leaves = list(self.flat.values())
        self._optimizer = torch.optim.AdamW(
            leaves, lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        make_folder(training.folder)
        checkpoint = training.folder / CHECKPOINT
        if checkpoint.exists():
            self._restore(read_safetensors(checkpoint, mend=MEND))

    @property
    def going(self) -> bool:
        """Whether there is a step to be done."""
        _, since = self._lowest()
        tired = 0 < self.training.options.patience <= since
        return self.step < self.training.options.steps and self.problem is None and not tired

    def items(self, ahead: int = 0) -> list[Item]:
        """The examples of the step that comes next, or of one further ahead."""
        return self._stream.at(self.step + ahead)

    def update(self, loss: float, norm: Tensor) -> bool:
        """One step of AdamW with the gradients that are there, whose norm is ``norm``, clipped.

        Where loss or norm is no number nothing changes but ``problem``, and False comes back.
        """
        options = self.training.options
        if not (math.isfinite(loss) and math.isfinite(norm.item())):
            folder = self.training.folder
            kept = f"{folder} keeps the last good state" if (folder / CHECKPOINT).exists() else "nothing was kept"
            self.problem = (
                f"training {self.training.name}: loss or gradient is no longer a number at step {self.step + 1} "
                f"({kept}); lower the learning rate ({options.learning_rate:g}) or train in float32"
            )
            return False
        clip_grads_with_norm_(list(self.flat.values()), options.clip, norm)
        self._optimizer.param_groups[0]["lr"] = options.rate(self.step)
        self._optimizer.step()
        self.step += 1
        return True

    def validated(self, loss: float) -> None:
        """Take the loss on validation data into the log."""
        self.log.append({"step": self.step, "validation_loss": loss})
        self._losses[self.step] = loss
        if self.training.options.patience and self._lowest() == (self.step, 0):
            self._best = {device: flat.detach().clone() for device, flat in self.flat.items()}

    def _lowest(self) -> tuple[int, int]:
        """The step with the lowest validation loss (now, where there was none), and how many validations came after."""
        finite = [loss for loss in self._losses.values() if math.isfinite(loss)]
        if not finite:
            return self.step, len(self._losses)
        steps, losses = list(self._losses), list(self._losses.values())
        lowest = losses.index(min(finite))
        return steps[lowest], len(losses) - 1 - lowest

    def save(self) -> None:
        """The log first, then the checkpoint: lines that it does not cover are dropped on resuming."""
        write_atomically(self.training.folder / LOG, "".join(json.dumps(line) + "\n" for line in self.log))
        tensors = {key: factor[None] for key, factor in self.factors().items()}
        for moment in MOMENTS:
            tensors |= {f"{key}.{moment}": numbers[None] for key, numbers in self._moments(moment).items()}
        if self._best is not self.flat:
            tensors |= {f"{key}.best": factor[None] for key, factor in self.factors(self._best).items()}
        counts = Counts(self.step, self.seconds, self.tokens)
        sealed = json.dumps(asdict(replace(counts, sha256=self._seal(counts, tensors))))
        tensors["counts"] = torch.tensor(list(sealed.encode()), dtype=torch.uint8)
        write_safetensors(self.training.folder / CHECKPOINT, tensors)
        if self.training.saved:
            self.training.saved()

    def factors(self, state: Flat | None = None) -> dict[str, Tensor]:
        """``<path>.a`` and ``<path>.b`` as they are now or in a ``state``; of full fine-tuning the parameters."""
        return self.layout.views({device: flat.data for device, flat in (state or self.flat).items()})

    def vector(self, backbone: Backbone) -> Vector:
        """The vector as it is now, or was when its validation loss was lowest if training may end early."""
        options = self.training.options
        examples = self.step * options.batch_size
        cost = {"seconds": round(self.seconds, 2), "tokens": self.tokens, "examples": examples}
        terms, rest = _finished(backbone, options.adapter, self.frozen | self.factors(self._best))
        # Of attention alone the list of layers goes without saying.
        where = {} if options.projections == ATTENTION else {"projections": kinds(terms)}
        return Vector(
            self.training.name,
            terms,
            options.adapter.scale,
            {
                **self.training.origin,
                "backbone": backbone.facts,
                "parts": dict(backbone.parts),
                "adapter": options.adapter.facts,
                **where,
                "init_seed": options.init_seed,
                "init_hash": self.start_hash,
                "seed": options.seed,
                "steps": self._lowest()[0] if options.patience else self.step,
                "options": options.facts,
                "versions": versions(),
                "cost": cost,
            },
            rest,
        )

    def _moments(self, which: str) -> dict[str, Tensor]:
        return self.layout.views({device: self._optimizer.state[flat][which] for device, flat in self.flat.items()})

    def _seal(self, counts: Counts, tensors: Mapping[str, Tensor]) -> str:
        """The hash of all that a training goes on from, the log so far too, and of what it is a training of."""
        training = self.training
        about = {"origin": training.origin, "seed": training.options.seed, "start": self.start_hash}
        facts = {"counts": asdict(replace(counts, sha256="")), "tensors": content_hash(tensors), "log": self.log}
        return json_hash({**facts, **about})

    def _restore(self, saved: dict[str, Tensor]) -> None:
        """Go on from a checkpoint. Raises :class:`LingarithError` unless it and the log are as they were written."""
        where, log = self.training.folder / CHECKPOINT, self.training.folder / LOG
        written = saved.pop("counts", torch.empty(0))
        content = bytes(written.flatten().to(torch.uint8).tolist())
        counts = plain.record(Counts, plain.json_object(content, where, MEND), str(where), mend=MEND)
        self.step, self.seconds, self.tokens = counts.step, counts.seconds, counts.tokens
        self.log = [entry for entry in log_lines(log) if entry["step"] <= self.step]
        if counts.sha256 != self._seal(counts, saved):
            raise LingarithError(f"{where} or its {LOG} was changed, or is another training's; {MEND}")
        self._losses = {int(line["step"]): line["validation_loss"] for line in self.log if "validation_loss" in line}
        for device, flat in self.flat.items():
            count = torch.tensor(float(self.step), device=device)
            self._optimizer.state[flat] = {"step": count} | {moment: torch.zeros_like(flat) for moment in MOMENTS}
        for key, factor in self.factors().items():
            factor.copy_(saved[key][0])
        for moment in MOMENTS:
            for key, numbers in self._moments(moment).items():
                numbers.copy_(saved[f"{key}.{moment}"][0])
        if any(key.endswith(".best") for key in saved):
            self._best = self.layout.flat({key: saved[f"{key}.best"][0] for key in self.layout.places})


class Stack:
    """The members of a pass: their flat tensors and gradients become rows of one tensor for each device."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.options = members[0].training.options
        """Those that all members have in common hold for the pass."""
        self.layout = members[0].layout
        self.values = {device: torch.stack([m.flat[device].data for m in members]) for device in members[0].flat}
        self.gradients = {device: torch.zeros_like(rows) for device, rows in self.values.items()}
        """K × N, as the flat tensors; so are the values."""
        for k, member in enumerate(members):
            for device, flat in member.flat.items():
                flat.data, flat.grad = self.values[device][k], self.gradients[device][k]  # rows, not copies
        self._places = list(self.layout.views(self.gradients).values())
        self._whole = Part(self, range(len(members)))

    def part(self, which: Sequence[int]) -> Part:
        """Some members, by their numbers: those that go through the backbone in one pass."""
        return self._whole if len(which) == len(self.members) else Part(self, which)

    def clear(self) -> None:
        """All gradients to 0."""
        for rows in self.gradients.values():
            rows.zero_()

    def norms(self) -> list[Tensor]:
        """The norm of each member's gradient."""
        return [get_total_norm([place[k] for place in self._places], foreach=True) for k in range(len(self.members))]


class Part:
    """Some members of a stack, with factors that have a leading axis for them alone."""

    def __init__(self, stack: Stack, which: Sequence[int]) -> None:
        self._which = None if len(which) == len(stack.members) else list(which)
        # Not the stack itself, which keeps a part: a circle would keep its tensors beyond their time.
        self._options, self._layout, self._gradients = stack.options, stack.layout, stack.gradients
        self._factors = {key: nn.Parameter(rows) for key, rows in self._layout.views(self._rows(stack.values)).items()}
        some = [stack.members[k].frozen for k in which]
        self._frozen = {key: torch.stack([frozen[key] for frozen in some]) for key in some[0]}

    @contextmanager
    def on(self, backbone: Backbone) -> Iterator[None]:
        """While open, they are on the backbone, in their order."""
        options = self._options
        factors = self._frozen | self._factors
        with _on(backbone, factors, options.adapter), _checkpointing(backbone, options.activation_checkpointing):
            yield

    def differentiate(self, loss: Tensor) -> None:
        """Add the gradient of a loss to the members' gradients."""
        gradients = torch.autograd.grad(loss, list(self._factors.values()), materialize_grads=True)
        sums = self._rows(self._gradients)  # of some members a copy: K' × N
        for place, gradient in zip(self._layout.views(sums).values(), gradients, strict=True):
            place.add_(gradient)
        for device, rows in sums.items() if self._which is not None else ():
            for k, row in zip(self._which or (), rows, strict=True):
                self._gradients[device][k] = row

    def _rows(self, flat: Flat) -> Flat:
        """The members' rows: of all the tensors themselves, else a copy."""
        if self._which is None:
            return flat
        return {device: torch.stack([rows[k] for k in self._which]) for device, rows in flat.items()}


# ------------------------------------ adapters have factors, full fine-tuning the backbone's own parameters


def _initial(backbone: Backbone, options: TrainOptions, vector: Vector | None) -> tuple[dict[str, Tensor], str | None]:
    """What training starts from, where it belongs, and its hash; full fine-tuning starts from the backbone."""
    adapter = options.adapter
    if not isinstance(adapter, Factored):
        return full.parameters(backbone), None
    shapes = backbone.shapes_of(options.projections)
    # In the model's order, whether the vector was just trained or comes from a file: sums of norms go by it.
    begun = {path: vector.terms[path][0] for path in shapes if path in vector.terms} if vector else None
    start = begun or adapter.init(shapes, options.init_seed)
    factors = {
        f"{path}.{which}": factor.to(home(backbone.linears[path]))
        for path, term in start.items()
        for which, factor in zip("ab", adapter.factors(term), strict=True)
    }
    return factors, content_hash(FlatTensors({path: (term,) for path, term in start.items()}))


def _finished(
    backbone: Backbone, adapter: Adapter, factors: Mapping[str, Tensor]
) -> tuple[dict[str, tuple[Term, ...]], dict[str, Tensor]]:
    """The terms of the trained vector, and what it changes beside the projections."""
    if not isinstance(adapter, Factored):
        return full.changes(backbone, factors)
    kept = {key: factor.cpu().clone() for key, factor in factors.items()}
    return {path: (adapter.term(kept[f"{path}.a"], kept[f"{path}.b"]),) for path in _paths(factors)}, {}


def _paths(factors: Mapping[str, Tensor]) -> list[str]:
    """The projections that have the factors ``<path>.a`` and ``<path>.b``, in their order."""
    return list(dict.fromkeys(key.rpartition(".")[0] for key in factors))


def _on(backbone: Backbone, factors: Mapping[str, Tensor], adapter: Adapter) -> AbstractContextManager[None]:
    """The trainable vectors on the backbone: added by hooks, or the one in the place of its parameters."""
    if not isinstance(adapter, Factored):
        return backbone.replacing({name: stacked[0] for name, stacked in factors.items()})  # K is 1
    pairs = {path: (factors[f"{path}.a"], factors[f"{path}.b"]) for path in _paths(factors)}
    return backbone.adding({path: partial(adapter.apply, a, b) for path, (a, b) in pairs.items()})


@contextmanager
def _checkpointing(backbone: Backbone, wanted: bool) -> Iterator[None]:
    """While open, activations of layers are computed anew on the way back, if that is wanted."""
    from transformers.modeling_layers import GradientCheckpointingLayer  # which takes seconds

    # transformers' own switch works in training mode only, where dropout is on.
    layers = [m for m in backbone.model.modules() if wanted and isinstance(m, GradientCheckpointingLayer)]
    before = [vars(layer).get("forward") for layer in layers]  # device_map puts one there
    try:
        for layer in layers:
            layer.forward = partial(recomputed, layer.forward, use_reentrant=False)
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del layer.forward
            if forward is not None:
                layer.forward = forward


def versions() -> dict[str, str]:
    """What the libraries were that a vector was made with."""
    import transformers

    from .. import __version__

    return {"lingarith": __version__, "torch": str(torch.__version__), "transformers": transformers.__version__}

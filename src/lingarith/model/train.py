"""The one training loop: small adapters on a frozen backbone, or all of it; AdamW, warm-up, linear decay.

K vectors share a pass: a batch is K groups of rows, forward and backward go through the backbone
once (or a few times, where the groups' lengths differ much, or would fill more than a pass), and all
else (examples, loss, clipping, rate, step, end, checkpoint) is each vector's own. One vector is the
case K = 1 of the same loop.

A vector's run is a pure function of backbone, data, options and step, and its checkpoint holds the
step, the factors and the optimiser's two moments: stopped at any moment and started again, it ends
with the same bits. With others beside it the numbers differ by what rounding in larger products does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..adapters.kinds import Factored
from ..errors import LingarithError
from ..vectors.vector import Vector
from .backbone import Backbone
from .batches import Batch, TrainingData, alike, collate, positions
from .losses import token_losses
from .members import Member, Stack, Training
from .options import TrainOptions
from .parallel import processes

Watch = Callable[[int, int, float], None]
"""Called for each vector after each of its steps with (its position among the trainings, steps done, loss)."""


def train(
    backbone: Backbone, trainings: Sequence[Training], *, together: int = 1, watch: Watch | None = None
) -> Iterator[tuple[int, Vector]]:
    """The trained vectors with their positions, each as soon as it is finished.

    Up to ``together`` share a pass, where their options allow it; one that is finished makes room for
    the next. Raises :class:`LingarithError` when all others are finished, if there were vectors whose
    loss or gradient was no longer a number, or that could not begin; their checkpoints stay.
    """
    problems: list[str] = []
    for waiting in groups([training.options for training in trainings]):
        running: dict[int, Member] = {}
        while waiting or running:
            while waiting and len(running) < together:
                try:
                    running[waiting[0]] = Member(backbone, trainings[waiting[0]])
                except LingarithError as problem:
                    problems.append(str(problem))
                del waiting[0]
            _until_one_ends(backbone, running, watch)
            for position, member in list(running.items()):
                if not member.going:
                    del running[position]
                    if member.problem:
                        problems.append(member.problem)
                    else:
                        yield position, member.vector(backbone)
    if problems:
        raise LingarithError("; ".join(problems))


def groups(options: Sequence[TrainOptions]) -> list[list[int]]:
    """Positions of those that can share a pass: their adapters are of one size, their batches of one shape.

    Full fine-tuning shares none, since it has no frozen backbone.
    """
    passes: dict[object, list[int]] = {}
    for position, each in enumerate(options):
        key = each.shared if isinstance(each.adapter, Factored) else position
        passes.setdefault(key, []).append(position)
    return list(passes.values())


def mean_loss(backbone: Backbone, data: TrainingData, options: TrainOptions, *, limit: int = 256) -> float:
    """Mean cross-entropy (nats a token) over the first ``limit`` examples, under whatever update is attached."""
    total, count = 0.0, 0
    numbers = range(min(limit, len(data)))
    for start in range(0, len(numbers), options.batch_size):
        items = [data.item(k, options.seed, k) for k in numbers[start : start + options.batch_size]]
        batch = collate(backbone, items, bidirectional_prefix=options.bidirectional_prefix)
        with torch.no_grad(), _autocast(backbone, options.precision):
            losses, _ = token_losses(backbone, batch)
        total += losses.sum().item()
        count += sum(batch.counts)
    return total / count


@dataclass(frozen=True)
class _Micro:
    """A micro-batch: the rows of some members one after another, of each this process's share."""

    members: list[int]
    batch: Batch
    counts: list[int]
    """Tokens with a loss, of each of these members."""


@dataclass(frozen=True)
class _Prepared:
    """What a step reads."""

    micros: list[_Micro]
    taught: list[int]
    """Tokens with a loss, of each member; so are the next two."""
    tokens: list[int]
    positions: list[int]
    """As if the member were alone."""


def _prepared(backbone: Backbone, members: Sequence[Member], ahead: int = 0) -> _Prepared:
    options = members[0].training.options
    items = [member.items(ahead) for member in members]
    size = options.batch_size // options.accumulation
    starts, together = range(0, options.batch_size, size), processes()
    share, each = together.share(size), size // together.size
    micros, taught = [], [0] * len(members)
    for start in starts:
        parts = [rows[start : start + size] for rows in items]
        for some in alike(backbone, parts):
            rows = [item for k in some for item in parts[k][share]]
            batch = collate(backbone, rows, bidirectional_prefix=options.bidirectional_prefix)
            counts = [sum(batch.counts[at : at + each]) for at in range(0, len(rows), each)]
            micros.append(_Micro(some, batch, counts))
            for k, count in zip(some, counts, strict=True):
                taught[k] += count
    return _Prepared(
        micros,
        together.sum(torch.tensor(taught)).tolist(),
        [sum(len(source) + len(target) for source, target in rows) for rows in items],
        [sum(positions(backbone, rows[start : start + size]) for start in starts) for rows in items],
    )


def _until_one_ends(backbone: Backbone, running: dict[int, Member], watch: Watch | None) -> None:
    """Passes until a member is finished or cannot go on."""
    members = list(running.values())
    if not all(member.going for member in members) or not members:
        return
    processes().must_agree([member.step for member in members])
    stack, ready = Stack(members), _prepared(backbone, members)
    while all(member.going for member in members):
        began = time.perf_counter()
        now = ready
        try:
            sums = _backward(backbone, stack, ready)
            if all(member.step + 1 < member.training.options.steps for member in members):
                ready = _prepared(backbone, members, ahead=1)  # while the device is busy
        except KeyboardInterrupt:  # nothing of this step is done yet
            for member in members if processes().rank == 0 else ():
                if member.step:
                    member.save()
            raise
        _update(backbone, stack, now, sums)
        for member in members:
            member.seconds += (time.perf_counter() - began) / len(members)
        for member in members:
            done, every = not member.going, member.training.options.checkpoint_every
            if processes().rank == 0 and member.problem is None and (done or member.step % every == 0):
                member.save()
        for position, member in running.items():
            if member.problem is not None:
                continue
            line = {key: value for one in member.log[-2:] if one["step"] == member.step for key, value in one.items()}
            if member.training.logged:
                member.training.logged(line)
            if watch:
                watch(position, member.step, line["loss"])


def _backward(backbone: Backbone, stack: Stack, ready: _Prepared) -> Tensor:
    """Gradients of each member's mean loss; the sums of losses (micro-batches × K)."""
    stack.clear()
    together, taught = processes(), torch.tensor(ready.taught)
    sums = torch.zeros(len(ready.micros), len(stack.members), device=backbone.device)
    for row, micro in zip(sums, ready.micros, strict=True):
        # A token weighs 1 / (its member's tokens in the step): the sum is each member's own mean, in parts.
        weights = (1 / taught[micro.members]).repeat_interleave(torch.tensor(micro.counts))
        part = stack.part(micro.members)
        # Activations that are computed anew on the way back need the attention that there was.
        with part.on(backbone), _attention(backbone, stack.options.precision):
            with _autocast(backbone, stack.options.precision):
                losses, mean = token_losses(backbone, micro.batch, weights)
            part.differentiate(mean)
        for k, member_losses in zip(micro.members, losses.split(micro.counts), strict=True):
            row[k] = member_losses.sum()
    for gradients in stack.gradients.values():  # K × N
        together.sum(gradients)
    return together.sum(sums)


def _update(backbone: Backbone, stack: Stack, ready: _Prepared, sums: Tensor) -> None:
    """A step of each member, its line in the log, and its validation where it is time."""
    norms = stack.norms()
    totals = [sum(losses) for losses in zip(*sums.tolist(), strict=True)]  # over micro-batches
    for k, member in enumerate(stack.members):
        options, loss = member.training.options, totals[k] / ready.taught[k]
        rate = options.rate(member.step)
        if not member.update(loss, norms[k]):
            continue
        member.tokens += ready.tokens[k]
        padding = round(1 - ready.tokens[k] / ready.positions[k], 4)
        line = {"step": member.step, "loss": loss, "rate": rate, "tokens": ready.tokens[k], "padding": padding}
        member.log.append(line)
        every, validation = options.validate_every, member.training.validation
        if validation and (not member.going or (every and member.step % every == 0)):
            with stack.part([k]).on(backbone):
                member.validated(mean_loss(backbone, validation, options))


def _autocast(backbone: Backbone, precision: str) -> torch.autocast:
    """Products in bfloat16 where that is asked for, or the device has it and nothing else is asked for."""
    device = backbone.device.type
    capable = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = precision == "bfloat16" or (precision == "auto" and capable)
    return torch.autocast(device, torch.bfloat16, enabled=wanted)


def _attention(backbone: Backbone, precision: str) -> AbstractContextManager[None]:
    """On a processor the plain one in bfloat16: the fused one goes back through it eight times as slowly."""
    slow = precision == "bfloat16" and backbone.device.type == "cpu"
    kept: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH) if slow else nullcontext()
    return kept

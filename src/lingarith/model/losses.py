"""Cross-entropy of the tokens that are taught, without holding the logits of all of them.

Logits are the largest tensors of a pass by far: tokens × vocabulary, three times over with softmax
and gradient. But each token's loss depends on its own hidden state alone, so a few rows at a time are
compared with the vocabulary, and of them only loss and gradient (both small) are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .backbone import Backbone
from .batches import Batch

PART = {"cpu": 2**20}
"""Numbers in the logits of which losses are taken at a time: on a processor they are to stay in its cache."""
LARGE_PART, FEWEST = 2**28, 128
"""Elsewhere; and how many rows go through the head together at least, since its weights are read for each piece."""
_reworked: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
"""Models that do something to the logits which their head makes."""


def token_losses(backbone: Backbone, batch: Batch, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Cross-entropies (nats) of the taught tokens, row after row, and their sum by ``weights`` (or 1 each).

    Gradients come from the sum alone. What is not taught is never compared with the vocabulary.
    """
    head = backbone.model.get_output_embeddings()  # type: ignore[operator]
    reworked = _reworked.get(backbone.model)
    whole = bool(reworked) or any(parameter.requires_grad for parameter in head.parameters())
    hidden, logits, head_logits = _forward(backbone, head, batch, None if whole else int(reworked is None))
    if not whole and reworked is None:  # the first batch of this model shows whether its logits are the head's
        same = logits is head_logits or (
            logits.device != head_logits.device and torch.equal(logits.to(head_logits.device), head_logits)
        )
        _reworked[backbone.model] = whole = not same
        if whole:
            hidden, logits, head_logits = _forward(backbone, head, batch, None)
    hidden = hidden.to(head_logits.device)  # where layers lie on several devices, the head may be apart from the last
    labels = batch.labels.flatten()[batch.taught].to(hidden.device)  # T, of rows × length
    weights = torch.ones(len(labels)) if weights is None else weights
    weights = weights.to(hidden.device)
    if whole:
        losses = _losses(logits, labels.to(logits.device))
        return losses.detach(), losses @ weights.to(losses.device)
    losses, summed = _InPieces.apply(hidden, labels, weights, head)  # type: ignore[no-untyped-call]
    return losses, summed


def _forward(backbone: Backbone, head: nn.Module, batch: Batch, few: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states of the taught tokens (T × width); of them or the first ``few`` logits: the model's, its head's."""
    seen: list[Tensor] = []

    def before(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        seen.append(inputs[0].flatten(0, 1)[batch.taught.to(inputs[0].device)])  # rows × length × width → T × width
        # The head is given one token to see what the model does to its logits, then none; pieces go through it later.
        return (seen[0] if few is None else seen[0][:few].detach(),)

    def after(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output)

    handles = head.register_forward_pre_hook(before), head.register_forward_hook(after)
    try:
        inputs = {name: tensor.to(backbone.device) for name, tensor in batch.inputs.items()}
        logits = backbone.model(**inputs, use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    return seen[0], logits, seen[1]


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits.float(), labels, reduction="none")  # T × vocabulary → T


def _rows(head: Any, hidden: Tensor) -> tuple[int, int]:
    """How many rows are compared with the vocabulary at a time, and of how many of them losses are taken at a time."""
    vocabulary = int(getattr(head, "out_features", 2**15))
    part = max(1, PART.get(hidden.device.type, LARGE_PART) // vocabulary)
    return max(FEWEST, part), part


class _InPieces(torch.autograd.Function):
    """Losses and their weighted sum from hidden states (T × width); gradients are found on the way forward."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, labels: Tensor, weights: Tensor, head: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        wanted = ctx.needs_input_grad[0]
        losses, gradients = torch.empty_like(weights), torch.empty_like(hidden) if wanted else hidden
        count, part = _rows(head, hidden)
        for start in range(0, len(hidden), count):
            rows = slice(start, start + count)
            with torch.set_grad_enabled(wanted):
                piece = hidden[rows].detach().requires_grad_(wanted)
                logits = head(piece)
            parts = (some.split(part) for some in (logits.detach(), labels[rows], weights[rows], losses[rows]))
            for scores, right, weighed, taken in zip(*parts, strict=True):
                with torch.set_grad_enabled(wanted):
                    found = _losses(leaf := scores.detach().requires_grad_(wanted), right)
                taken.copy_(found.detach())
                if wanted:  # in the place of what it was found from: a gradient is as large as the logits
                    scores.copy_(*torch.autograd.grad(found, leaf, weighed))
            if wanted:  # now, while the piece's logits are there: they are not kept for the way back
                (gradients[rows],) = torch.autograd.grad(logits, piece, logits.detach())
        ctx.save_for_backward(gradients)
        ctx.mark_non_differentiable(losses)
        return losses, losses @ weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * gradient.to(gradients.dtype), None, None, None

"""The frozen language model, its tokenizer, and the two ways to put an update on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from ..adapters.terms import mapped
from ..disk.tensors import must_be_finite
from ..errors import LingarithError, in_a_line
from ..unicode import composed
from ..vectors.vector import Update
from .options import ATTENTION
from .projections import chosen, home


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """What is known of a backbone without its numbers, so that a plan need not load them; plain values.

    ``sizes`` maps the path of every linear layer that a vector may change to (out, in), ``attention`` names the Key,
    Query, Value and output projections among them (see :mod:`.projections`); ``parameters`` counts numbers;
    ``positions`` are those of an input and of an output, None where any number will do (:func:`.limits.positions`).
    ``fingerprint`` (hex) is what vectors are bound to, ``parts`` say what it is made of. ``opening`` and ``closing``
    are the tokens that stand around an input (T5: EOS after it, Llama: BOS before it), ``beginning`` those that every
    output is forced to begin with (mBART: the language's); ``rows`` is how many tokens have a row, where some that no
    text is made of have none.
    """

    encoder_decoder: bool
    attention: list[str]
    sizes: dict[str, tuple[int, int]]
    parameters: int
    positions: tuple[int | None, int | None]
    fingerprint: str
    parts: dict[str, Any]
    opening: list[int]
    closing: list[int]
    beginning: list[int]
    rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class Backbone(Skeleton):
    """A frozen model with its tokenizer.

    The model is what ``loading`` gives, asked once, when something is first computed with it; ``device`` is where
    inputs go, and ``made`` says of what the weights were made, where that is not what was trained (quantised, trimmed).
    """

    name: str
    revision: str | None
    tokenizer: PreTrainedTokenizerBase
    loading: Callable[[], nn.Module]
    device: torch.device
    made: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def model(self) -> nn.Module:
        """The frozen model, in evaluation mode. Raises :class:`LingarithError` where it cannot be loaded."""
        return self.loading()

    @cached_property
    def linears(self) -> Mapping[str, nn.Module]:
        """Every layer that a vector may change, the attention projections among them."""
        return {path: self.model.get_submodule(path) for path in self.sizes}

    @property
    def projections(self) -> Mapping[str, nn.Module]:
        """Path → Key, Query, Value or output matrix of an attention."""
        return {path: self.linears[path] for path in self.attention}

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(out, in) of each attention projection."""
        return self.shapes_of(ATTENTION)

    def shapes_of(self, which: str) -> dict[str, tuple[int, int]]:
        """(out, in) of the layers that are meant by ``attention``, ``all`` or ``in:PATTERN``.

        Raises :class:`LingarithError` as :func:`.projections.chosen` does.
        """
        return {path: self.sizes[path] for path in chosen(which, self.attention, self.sizes, self.name)}

    @property
    def facts(self) -> dict[str, Any]:
        """What a vector's origin says about its backbone."""
        facts = {"name": self.name, "revision": self.revision, "fingerprint": self.fingerprint}
        return facts | {"parameters": self.parameters} | dict(self.made)

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
        if "trimmed" in self.made and (unknown := self.tokenizer.unk_token_id) is not None:
            for text, row in zip(texts, rows, strict=True):
                if unknown in row:
                    raise LingarithError(
                        f"the trimmed vocabulary of {self.name} cannot spell {composed(text)[:40]!r}…; trim the "
                        f"backbone again with such texts, or use the whole one, {self.made['trimmed']['whole']}"
                    )
        for row in rows if self.rows else ():
            if strange := next((token for token in row if token >= self.rows), None):
                raise LingarithError(
                    f"{self.name} knows no {self.tokenizer.convert_ids_to_tokens(strange)!r}, which a text holds; "
                    "take it out"
                )
        return list(rows)

    def as_turn(self, prompt: str) -> str:
        """A prompt as a user's turn of a dialogue, up to where the answer begins, by the tokenizer's chat template.

        Slots in it stay slots. Raises :class:`LingarithError` where there is no template, or it fails or loses a part.
        """
        if not getattr(self.tokenizer, "chat_template", None):
            raise LingarithError(
                f"{self.name} has no chat template; leave out --chat, or take a model tuned for dialogue"
            )
        turn = [{"role": "user", "content": prompt}]
        try:
            text = str(self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
        except Exception as problem:  # a template is a program, which may raise whatever it likes
            why = in_a_line(problem)[:120]
            raise LingarithError(f"the chat template of {self.name} fails ({why}); leave out --chat") from None
        if prompt.strip() not in text:
            raise LingarithError(f"the chat template of {self.name} leaves out a part of the prompt; leave out --chat")
        # What stands before every input is put there anyway.
        return text.removeprefix(str(self.tokenizer.decode([*self.opening]))) if self.opening else text

    def framed(self, ids: Sequence[int]) -> list[int]:
        """The tokens of an input with what stands around it."""
        return [*self.opening, *ids, *self.closing]

    def must_hold(self, read: int, written: int, flag: str = "--max-output") -> None:
        """Raise :class:`LingarithError` unless there are positions for so many tokens of an input and of an output."""
        reads, writes = self.positions
        if writes is not None and written > writes:
            raise LingarithError(
                f"{self.name} has positions for {writes} tokens of an output; choose {flag} ≤ {writes}"
            )
        self._must_read(read, reads and reads - (0 if self.encoder_decoder else written))

    def must_hold_chunks(self, length: int) -> None:
        """Raise :class:`LingarithError` unless there are positions for the parts of chunks of so many tokens."""
        reads, writes = self.positions
        frame = len(self.opening) + len(self.closing)
        if self.encoder_decoder:  # a part has a token less than the chunk, and an output ends with one more
            rooms = [reads and reads + 1 - frame, writes and writes - len(self.beginning)]
        else:
            rooms = [reads and reads - frame - 1]
        for room in rooms:
            self._must_read(length, room)

    def _must_read(self, read: int, room: int | None) -> None:
        if room is not None and read > room:
            raise LingarithError(
                f"{self.name} has no positions for inputs of {read} tokens; choose "
                + (f"--max-input ≤ {room}" if room > 0 else "another backbone, or shorter outputs")
            )

    @contextmanager
    def adding(self, add: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
        """While open, the output of each linear layer has ``add[path](input)`` added; then it is gone.

        By forward hooks, so that no module is replaced and a quantised one works.
        """
        handles = []
        try:
            for path, f in add.items():
                handles.append(self.linears[path].register_forward_hook(_hook(f)))
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
        dense = {f"{path}.weight": path for path in update.terms if _is_dense(self.linears[path])}
        weights, changed = dict(self.model.named_parameters()), {}
        for name in (*dense, *update.rest):
            device = weights[name].device
            change = update.delta(dense[name], device) if name in dense else update.rest[name]
            # In float32, and rounded once: in a half type ΔW would be rounded by itself too.
            summed = (weights[name].data.float() + change.to(device)).to(weights[name].dtype)
            must_be_finite(name, summed, "the backbone with the update on it", "take smaller coefficients")
            changed[name] = nn.Parameter(summed, requires_grad=False)
        packed = {
            path: _terms_as_function(update, path, home(self.linears[path]))
            for path in update.terms
            if f"{path}.weight" not in dense
        }
        with self.replacing(changed), self.adding(packed):
            yield

    def must_fit(self, update: Update) -> None:
        """Raise :class:`LingarithError` unless this backbone has the linear layers and parameters of the update."""
        for path, terms in update.terms.items():
            if path not in self.sizes:
                raise LingarithError(
                    f"the update does not fit {self.name}: {path} is no linear layer of a block there; "
                    "compose it of vectors of this backbone"
                )
            size = self.sizes[path]
            for term in terms:
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

"""Outputs of a backbone for many inputs, whatever update is on it, or for several updates at once.

Greedy outputs are made by a loop of our own: batches of inputs of similar length, filled up to a
number of tokens, out of which rows leave when they have ended. Beams are left to transformers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput

from ..errors import LingarithError
from ..text.labelled import Asked
from ..vectors.vector import Update
from .backbone import Backbone
from .beside import Beside, groups
from .inputs import framed_inputs
from .options import Decoding

FEWER = 0.8
"""Rows that have ended leave the batch when no more than this share goes on: each time, caches are copied."""


def generate(
    backbone: Backbone, inputs: Sequence[str | Asked], decoding: Decoding, *, watch: Callable[[int], None] | None = None
) -> list[str]:
    """One output for each input, in their order.

    Of an input that is too long its texts are cut (:mod:`.inputs`). Put the update on first:
    ``with backbone.using(update): generate(backbone, …)``. Raises
    :class:`LingarithError` for an input without any token.
    """
    return _outputs(backbone, inputs, decoding, watch)[0]


def generate_each(
    backbone: Backbone,
    updates: Iterable[Update | None],
    inputs: Sequence[str | Asked],
    decoding: Decoding,
    *,
    watch: Callable[[int], None] | None = None,
) -> Iterator[list[str]]:
    """For each update, in their order, one output for each input; None is the bare backbone.

    Updates of low rank share batches (:mod:`.beside`) and are added to what projections make, not to
    weights, so outputs are those of :func:`generate` but for rounding. ``watch`` hears how many outputs
    are done in all. Raises as :func:`generate` does, and for an update of another backbone.
    """
    before = 0
    for group in groups(updates):

        def watch_all(done: int, before: int = before) -> None:
            if watch:
                watch(before + done)

        beside = Beside(backbone, [update for update in group if update]) if len(group) > 1 else None
        with beside.open() if beside else backbone.using(group[0]):
            outputs = _outputs(backbone, inputs, decoding, watch_all, beside, len(group))
        yield from outputs
        before += len(group) * len(inputs)


def _outputs(
    backbone: Backbone,
    inputs: Sequence[str | Asked],
    decoding: Decoding,
    watch: Callable[[int], None] | None,
    beside: Beside | None = None,
    count: int = 1,
) -> list[list[str]]:
    """The outputs of ``count`` updates, which stand beside each other unless there is one."""
    backbone.must_hold(decoding.max_input, decoding.max_output)
    encoded = framed_inputs(backbone, inputs, decoding.max_input)
    if not all(encoded):
        raise LingarithError(
            f"input {encoded.index([]) + 1} is empty, so there is nothing to go on from; give some text"
        )
    outputs, done, greedy = [[""] * len(inputs) for _ in range(count)], 0, decoding.beams == 1
    for rows in batches([len(ids) for ids in encoded for _ in range(count)], decoding):
        places = [divmod(row, count) for row in rows]  # (example, update): rows of an example are neighbours
        # A decoder goes on where the input ends, so its padding lies on the left.
        side = "right" if backbone.encoder_decoder else "left"
        unpadded = {"input_ids": [encoded[example] for example, _ in places]}
        batch = backbone.tokenizer.pad(unpadded, padding_side=side, return_tensors="pt").to(backbone.device)
        if beside:
            beside.owners = torch.tensor([which for _, which in places], device=backbone.device)
        with torch.inference_mode():
            tokens = _greedy(backbone, batch, decoding, beside) if greedy else _beams(backbone, batch, decoding)
        texts = backbone.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        for (example, which), text in zip(places, texts, strict=True):
            outputs[which][example] = text.strip()
        done += len(rows)
        if watch:
            watch(done)
    return outputs


def batches(lengths: Sequence[int], decoding: Decoding) -> Iterator[list[int]]:
    """The numbers of the rows of each batch, from the shortest inputs to the longest.

    A batch takes as many tokens, padding and outputs included, as ``generate_batch`` rows of ``max_input``.

    >>> list(batches([9, 2, 1, 8], Decoding(max_input=8, max_output=2, generate_batch=2)))
    [[2, 1], [3], [0]]
    """
    room = decoding.generate_batch * (decoding.max_input + decoding.max_output)
    rows: list[int] = []
    for k in sorted(range(len(lengths)), key=lambda k: (lengths[k], k)):
        if rows and (len(rows) + 1) * (lengths[k] + decoding.max_output) > room:
            yield rows
            rows = []
        rows.append(k)
    if rows:
        yield rows


def _greedy(backbone: Backbone, batch: Any, decoding: Decoding, beside: Beside | None) -> list[list[int]]:
    """The most likely next token, again and again; the tokens of each row, up to its EOS and with it."""
    state = _Encoded(backbone, batch) if backbone.encoder_decoder else _Prefix(backbone, batch)
    written: list[list[int]] = [[] for _ in batch["input_ids"]]
    going = list(range(len(written)))  # the rows that are still in the batch, some of them ended
    for step in range(decoding.max_output):
        logits = state.following()  # of each row that is going
        chosen = _likeliest(logits)
        _must_be_numbers(logits.gather(-1, chosen.to(logits.device)[:, None]))  # NaN is the largest of all
        for token in backbone.beginning[step : step + 1]:
            chosen = torch.full_like(chosen, token)
        for row, token in zip(going, chosen.tolist(), strict=True):
            if not (written[row] and written[row][-1] == backbone.eos):
                written[row].append(token)
        unfinished = [place for place, row in enumerate(going) if written[row][-1] != backbone.eos]
        if not unfinished:
            break
        if len(unfinished) <= FEWER * len(going):
            going = [going[place] for place in unfinished]
            places = torch.tensor(unfinished)  # not on a device: layers and their caches may lie on several
            chosen = chosen[places]
            state.keep(places)
            if beside:
                beside.owners = beside.owners[places]
        state.append(chosen)
    return written


def _likeliest(logits: Tensor) -> Tensor:
    """The number of each row's largest logit; on a processor torch's own search takes ten times as long as numpy's."""
    if logits.device.type == "cpu":
        return torch.from_numpy(logits.float().numpy().argmax(-1))
    return logits.argmax(-1)


def _must_be_numbers(logits: Tensor) -> None:
    if not logits.isfinite().all():
        raise LingarithError(
            "the model's own numbers overflow (NaN or Inf) with this update on it; take smaller coefficients, or "
            "--dtype float32"
        )


class _Checked(LogitsProcessor):
    """For beam search, whose loop is not ours."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        _must_be_numbers(scores.amax(-1))
        return scores


def _named(cache: Any, taken: Mapping[str, Any]) -> dict[str, Any]:
    """A cache by its name among what a model takes: ``cache`` from transformers 5.24 on, which warns of the other."""
    return {"cache" if "cache" in taken else "past_key_values": cache}


class _Encoded:
    """An encoder-decoder in the middle of its outputs: inputs are encoded once, the rest is cached."""

    def __init__(self, backbone: Backbone, batch: Any) -> None:
        self.model = cast(Any, backbone.model)
        self.mask: Tensor = batch["attention_mask"]
        self.encoded = self.model.get_encoder()(input_ids=batch["input_ids"], attention_mask=self.mask)[0]
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.cached = _named(self.cache, inspect.signature(self.model.forward).parameters)
        start = self.model.generation_config.decoder_start_token_id
        self.last = torch.full_like(batch["input_ids"][:, :1], start)

    def following(self) -> Tensor:
        """Logits of the next token (rows × vocabulary)."""
        logits: Tensor = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.encoded),
            attention_mask=self.mask,
            decoder_input_ids=self.last,
            use_cache=True,
            **self.cached,
        ).logits[:, -1]
        return logits

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone."""
        self.mask, self.encoded = self.mask[rows], self.encoded[rows]
        self.cache.batch_select_indices(rows)

    def append(self, tokens: Tensor) -> None:
        """One token more for each row."""
        self.last = tokens[:, None]


class _Prefix:
    """A decoder-only model in the middle of its outputs."""

    def __init__(self, backbone: Backbone, batch: Any) -> None:
        self.model = cast(Any, backbone.model)
        self.mask: Tensor = batch["attention_mask"]
        self.cache = DynamicCache(config=self.model.config)
        self.last: Tensor = batch["input_ids"]
        taken = inspect.signature(self.model.forward).parameters
        self.cached = _named(self.cache, taken)
        self.last_only = {"logits_to_keep": 1} if "logits_to_keep" in taken else {}
        self.placed = "position_ids" in taken

    def following(self) -> Tensor:
        """Logits of the next token (rows × vocabulary)."""
        # Padding lies on the left, and takes no position; after the first step ``last`` is one token wide.
        places = (self.mask.cumsum(-1) - 1).clamp_min(0)[:, -self.last.shape[1] :]  # rows × width of ``last``
        logits: Tensor = self.model(
            input_ids=self.last,
            attention_mask=self.mask,
            use_cache=True,
            **self.cached,
            **self.last_only,
            **({"position_ids": places} if self.placed else {}),
        ).logits[:, -1]
        return logits

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone."""
        self.mask = self.mask[rows]
        self.cache.batch_select_indices(rows)

    def append(self, tokens: Tensor) -> None:
        """One token more for each row."""
        self.last = tokens[:, None]
        self.mask = torch.cat([self.mask, torch.ones_like(self.last)], dim=1)


def _beams(backbone: Backbone, batch: Any, decoding: Decoding) -> Tensor:
    """transformers' beam search."""
    tokens: Tensor = backbone.model.generate(  # type: ignore[operator]
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        do_sample=False,
        num_beams=decoding.beams,
        max_new_tokens=decoding.max_output,
        pad_token_id=backbone.tokenizer.pad_token_id,
        eos_token_id=backbone.eos,
        logits_processor=LogitsProcessorList([_Checked()]),
    )
    return tokens if backbone.encoder_decoder else tokens[:, batch["input_ids"].shape[1] :]

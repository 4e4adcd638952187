"""Where the adapter sits: the Key, Query, Value and output projections, found by structure.

A name that merely ends like one (T5's feed-forward ``wo``, an image tower's ``q_proj``) never
matches: a projection is a linear child of a module that has the *whole* set of children.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn

from ..errors import LingarithError

ATTENTIONS: dict[str, tuple[str, ...]] = {
    "T5, mT5, umT5": ("q", "k", "v", "o"),
    "Llama, Gemma, Qwen, Mistral": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "XGLM, BART": ("q_proj", "k_proj", "v_proj", "out_proj"),
    "BLOOM": ("query_key_value", "dense"),
}
"""The children of an attention module in each family."""


def projections(model: nn.Module) -> dict[str, nn.Module]:
    """Path in the model → projection, in the model's order.

    Raises :class:`LingarithError` if there is none, or if they are not on every layer of the text
    model (shared keys and values, linear attention): a vector must not cover a part in silence.
    """
    text = _text_model(model)
    prefix = next(name for name, module in model.named_modules() if module is text)
    linears: dict[str, nn.Module] = {}
    attentions = 0
    for name, module in text.named_modules(prefix=prefix):
        children = dict(module.named_children())
        for names in ATTENTIONS.values():
            if all(_is_linear(children.get(child)) for child in names):
                attentions += 1
                linears |= {f"{name}.{child}": children[child] for child in names}
                break
    expected = _expected(model)
    if not linears:
        kinds = "; ".join(f"{family}: {' '.join(names)}" for family, names in ATTENTIONS.items())
        raise LingarithError(
            f"no attention projections were found in {type(model).__name__}; choose a backbone whose attentions hold "
            f"one of these sets: {kinds}"
        )
    if len({id(getattr(module, "weight", module)) for module in linears.values()}) != len(linears):
        raise LingarithError(
            f"attentions of {type(model).__name__} share a projection, so a change to one would change both; "
            "choose another backbone"
        )
    if attentions != expected:
        raise LingarithError(
            f"{type(model).__name__} has {expected} attentions, but {attentions} have all projections of their own; "
            "a vector on a part of the layers would be misleading, so choose another backbone"
        )
    return linears


def sizes(projection: nn.Module) -> tuple[int, int]:
    """(out, in) of a projection, also of a quantised one, whose weight is packed."""
    return int(projection.out_features), int(projection.in_features)  # type: ignore[arg-type]


def home(projection: nn.Module) -> torch.device:
    """Where a projection's numbers lie, be they parameters or, when packed, buffers."""
    return next(chain(projection.parameters(), projection.buffers())).device


def _is_linear(module: nn.Module | None) -> bool:
    return module is not None and hasattr(module, "in_features") and hasattr(module, "out_features")


def _text_model(model: nn.Module) -> nn.Module:
    if model.config.is_encoder_decoder:  # type: ignore[union-attr]
        return model
    decoder: nn.Module = model.get_decoder()  # type: ignore[operator]
    return getattr(decoder, "language_model", decoder)


def _expected(model: nn.Module) -> int:
    config = model.config.get_text_config()  # type: ignore[union-attr, operator]
    if model.config.is_encoder_decoder:  # type: ignore[union-attr]
        encoder = getattr(config, "num_layers", None) or getattr(config, "encoder_layers", config.num_hidden_layers)
        decoder = getattr(config, "num_decoder_layers", None) or getattr(config, "decoder_layers", None) or encoder
        return int(encoder) + 2 * int(decoder)
    return int(config.num_hidden_layers)

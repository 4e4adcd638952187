"""Where the adapter sits: the Key, Query, Value and output projections, or all linear layers, found by structure.

A name that merely ends like one (T5's feed-forward ``wo``, an image tower's ``q_proj``) never
matches: a projection is a linear child of a module that has the *whole* set of children. All linear
layers are those projections and what else is linear in their blocks, whatever it is called.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import chain, takewhile

import torch
from torch import nn

from ..errors import LingarithError
from .options import ALL, ATTENTION, WITHIN

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
    text = text_model(model)
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
    _must_be_apart(linears, f"attentions of {type(model).__name__}")
    if attentions != expected:
        raise LingarithError(
            f"{type(model).__name__} has {expected} attentions, but {attentions} have all projections of their own; "
            "a vector on a part of the layers would be misleading, so choose another backbone"
        )
    return linears


def linears(model: nn.Module, attention: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Path in the model → linear layer of a block that has attention, its projections among them, in the model's order.

    A block is a member of the outermost list on the path of a projection (``model.layers.3``,
    ``encoder.block.0``); embeddings, output layer, image towers and parameters of experts are in none.
    Raises :class:`LingarithError` where two of them share a weight.
    """
    blocks = tuple(f"{_block(path)}." for path in attention)
    found = {path: module for path, module in model.named_modules() if path.startswith(blocks) and _is_linear(module)}
    _must_be_apart(found, f"blocks of {type(model).__name__}")
    return found


def chosen(which: str, attention: Collection[str], every: Collection[str], name: str) -> Collection[str]:
    """The layers of ``every`` (those of :func:`linears`) that a choice means: see :class:`.options.TrainOptions`.

    Raises :class:`LingarithError` where a pattern matches none, and for ``all`` where blocks of one list
    are not alike, or have nothing linear but attention: a vector must not cover a part in silence.
    """
    if which == ATTENTION:
        return attention
    pattern = "*" if which == ALL else which.removeprefix(WITHIN)
    found = [path for path in every if fnmatchcase(path, pattern)]
    if not found:
        few = ", ".join(kinds(every)[:12])
        raise LingarithError(f"no linear layer of {name} is called {pattern}; there are: {few} (* stands for any)")
    if which == ALL:
        _must_be_alike(attention, every, name)
    return found


def kinds(paths: Iterable[str]) -> list[str]:
    """The paths with ``*`` for the number of their block, each once.

    >>> kinds(["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"])
    ['model.layers.*.mlp.up_proj']
    """
    return list(dict.fromkeys(f"{_block(path).rpartition('.')[0]}.*{path[len(_block(path)) :]}" for path in paths))


def _block(path: str) -> str:
    """The path of the block: up to the first number, or all but the attention's own name and the projection's."""
    parts = path.split(".")
    before = list(takewhile(lambda part: not part.isdecimal(), parts))
    return ".".join(parts[: len(before) + 1] if len(before) < len(parts) else parts[:-2])


def _must_be_alike(attention: Collection[str], every: Collection[str], name: str) -> None:
    """Raise :class:`LingarithError` unless blocks of one list have the same linear layers, and more than attention."""
    ends: dict[str, set[str]] = {}
    for path in every:
        block = _block(path)
        ends.setdefault(block, set()).add(path.removeprefix(block))
    first: dict[str, str] = {}
    for block, layers in ends.items():
        alike = first.setdefault(block.rpartition(".")[0], block)
        if layers != ends[alike]:
            other = min(layers ^ ends[alike])
            raise LingarithError(
                f"blocks of {name} differ: only one of {alike} and {block} has a linear layer {other[1:]}; say which "
                "are meant by in:PATTERN"
            )
        if not layers - {path.removeprefix(block) for path in attention}:
            raise LingarithError(
                f"{block} of {name} has no linear layers beside its attention (experts that are one parameter are "
                "none); adapt the attention alone"
            )


def _must_be_apart(modules: Mapping[str, nn.Module], whose: str) -> None:
    """Raise :class:`LingarithError` where two of the modules are one, or share a weight."""
    if len({id(getattr(module, "weight", module)) for module in modules.values()}) != len(modules):
        raise LingarithError(
            f"{whose} share a projection, so a change to one would change both; choose another backbone"
        )


def sizes(projection: nn.Module) -> tuple[int, int]:
    """(out, in) of a projection, also of a quantised one, whose weight is packed."""
    return int(projection.out_features), int(projection.in_features)  # type: ignore[arg-type]


def home(projection: nn.Module) -> torch.device:
    """Where a projection's numbers lie, be they parameters or, when packed, buffers."""
    return next(chain(projection.parameters(), projection.buffers())).device


def _is_linear(module: nn.Module | None) -> bool:
    return module is not None and hasattr(module, "in_features") and hasattr(module, "out_features")


def text_model(model: nn.Module) -> nn.Module:
    """The part of a model that reads text: without image towers."""
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

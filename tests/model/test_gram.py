"""Gram matrices against the inputs that a hook sees, of both kinds of backbone, in one pass or several."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lingarith.model import gram as gram_module
from lingarith.model.backbone import Backbone
from lingarith.model.batches import Item, collate
from lingarith.model.gram import grams

ITEMS: list[Item] = [([5, 6, 7, 8], [9, 10, 1]), ([11, 12], [13, 14, 15, 16, 1]), ([17], [18, 1])]


def seen(backbone: Backbone, path: str) -> Tensor:
    """The inputs of a projection (positions × in), one item after another."""
    inputs: list[Tensor] = []

    def see(_: object, args: tuple[Tensor, ...]) -> None:
        inputs.append(args[0].reshape(-1, args[0].shape[-1]))

    handle = backbone.linears[path].register_forward_pre_hook(see)
    with torch.no_grad():
        for item in ITEMS:
            backbone.model(**collate(backbone, [item]).inputs)
    handle.remove()
    return torch.cat(inputs).double()


def sizes_of(backbone: Backbone) -> dict[str, int]:
    return {path: inner for path, (_, inner) in backbone.shapes_of("all").items()}


@pytest.mark.parametrize("family", ["mt5", "llama", "bloom"])
def test_second_moments_of_the_inputs(family: str, backbone: Callable[..., Backbone]) -> None:
    on = backbone(family)
    sizes = sizes_of(on)
    made = dict(grams(on, ITEMS, sizes))
    assert [*made] == [*sizes]
    for path in sizes:
        x = seen(on, path)
        torch.testing.assert_close(made[path].double(), x.T @ x / len(x), rtol=1e-4, atol=1e-5)
        assert torch.equal(made[path], made[path].T)
    assert not any(module._forward_pre_hooks for module in on.linears.values())


def test_positions_are_those_of_the_side(backbone: Callable[..., Backbone]) -> None:
    """An encoder's projections see inputs, a decoder's what is written, and keys of cross-attention the inputs."""
    on = backbone("t5")
    counts = {path: len(seen(on, path)) for path in on.attention}
    reads, writes = (sum(len(item[side]) for item in ITEMS) for side in (0, 1))
    for path, count in counts.items():
        crossed = "EncDecAttention.k" in path or "EncDecAttention.v" in path
        assert count == (reads if path.startswith("encoder") or crossed else writes), path


def test_a_few_matrices_at_a_time(backbone: Callable[..., Backbone], monkeypatch: pytest.MonkeyPatch) -> None:
    on = backbone("t5")
    sizes, passes, measured = sizes_of(on), [], gram_module._measured
    whole = dict(grams(on, ITEMS, sizes))
    monkeypatch.setattr(gram_module, "_measured", lambda *parts: passes.append([*parts[2]]) or measured(*parts))
    monkeypatch.setattr(gram_module, "MEMORY", 3 * 4 * max(sizes.values()) ** 2)
    parts = dict(grams(on, ITEMS, sizes))
    assert [path for some in passes for path in some] == [*sizes]
    assert len(passes) > 2
    assert all(4 * sum(sizes[path] ** 2 for path in some) <= gram_module.MEMORY for some in passes)
    for path, matrix in whole.items():
        assert torch.equal(parts[path], matrix)


def test_a_layer_that_sees_nothing_has_0(backbone: Callable[..., Backbone]) -> None:
    on = backbone("t5")
    [(_, matrix)] = grams(on, [], {on.attention[0]: 32})
    assert not matrix.any()

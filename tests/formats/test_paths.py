"""One module under several paths: what is bound to what, and what is said of it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lingarith.errors import LingarithError
from lingarith.formats.paths import binding, nearest, renamed

LLAMA = {
    f"model.layers.{layer}.{name}": size
    for layer in range(12)
    for name, size in {"self_attn.q_proj": (8, 8), "self_attn.k_proj": (4, 8), "mlp.up_proj": (16, 8)}.items()
}
T5 = {
    f"{stack}.block.{layer}.layer.{place}.SelfAttention.{name}": (8, 8)
    for stack in ("encoder", "decoder")
    for layer in range(2)
    for place in range(2)
    for name in "qv"
}


def begun(with_: str, instead: str = "") -> Callable[[str], str]:
    return lambda path: with_ + path.removeprefix(instead)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path, ""),
        (begun("base_model.model."), "the prefix base_model.model. was dropped"),
        (begun("module.base_model.model."), "the prefix module.base_model.model. was dropped"),
        (begun("", "model."), "the prefix model. was added"),
        (begun("language_model.model.", "model."), "the prefix language_model. was dropped"),
        (begun("model.language_model.", "model."), "model.language_model. became model."),
        (begun("_orig_mod."), "_orig_mod was left out"),
        (begun("_orig_mod.base_model.model."), "the prefix base_model.model. was dropped, _orig_mod was left out"),
        (
            lambda path: re.sub(r"\.(\d+)\.", r".\1._checkpoint_wrapped_module._orig_mod.", path, count=1),
            "_orig_mod was left out, _checkpoint_wrapped_module was left out",
        ),
        (
            lambda path: ("base_model.model." if ".1." in path else "") + path,  # a part of them alone
            "the prefix base_model.model. was dropped",
        ),
    ],
)
def test_wrappers(change: Callable[[str], str], said: str) -> None:
    for here in (LLAMA, T5):
        there = {change(path): size for path, size in here.items()}
        if here is T5 and "model." in said and "base_model" not in said:
            continue  # its paths do not begin with model.
        bound = binding(there, here)
        assert bound == {change(path): path for path in here}
        assert renamed(bound) == said


def test_a_part_of_the_modules() -> None:
    few = {f"x.{path}": size for path, size in list(LLAMA.items())[4:7]}
    assert list(binding(few, LLAMA).values()) == list(LLAMA)[4:7]


def test_a_tower_beside_the_text() -> None:
    here = {f"model.language_model.{path.removeprefix('model.')}": size for path, size in LLAMA.items()}
    tower = {f"vision_tower.encoder.layers.{layer}.self_attn.q_proj": (8, 8) for layer in range(2)}
    assert set(binding(LLAMA, here | tower).values()) == set(here)  # more of its words are shared
    wanted = "model.layers.0.self_attn.q_proj"
    assert nearest(wanted, ["a.layers.0.self_attn.q_proj", "b.layers.0.self_attn.q_proj"]) == [
        "a.layers.0.self_attn.q_proj",
        "b.layers.0.self_attn.q_proj",
    ]
    other = {f"a.{path.removeprefix('model.')}": (9, 9) for path in LLAMA}
    alike = {f"b.{path.removeprefix('model.')}": size for path, size in LLAMA.items()}
    assert set(binding(LLAMA, other | alike).values()) == set(alike)  # sizes tell


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        (
            {"transformer.h.0.attn.c_attn": (8, 8), "transformer.h.0.attn.c_proj": (8, 8)},
            "its paths begin with transformer.h in the adapter and model.layers there; choose the backbone",
        ),
        (
            {"model.layers.12.self_attn.q_proj": (8, 8)},  # a layer more
            "its paths begin with model.layers in the adapter and model.layers there",
        ),
        (
            {"model.layers.0.self_attn.q_proj": (8, 8), "lm_head": (32, 8)},
            "lm_head is none of its linear layers that are known here (--backbone tells all of its blocks); train the",
        ),
        (
            {"x.layers.3.self_attn.k_proj": (8, 8)},
            "x.layers.3.self_attn.k_proj is 8 × 8 in the adapter and 4 × 8 there; choose the backbone",
        ),
        (
            {"a.layers.3.mlp.up_proj": (16, 8), "b.layers.3.mlp.up_proj": (16, 8)},
            "a.layers.3.mlp.up_proj and b.layers.3.mlp.up_proj would both be model.layers.3.mlp.up_proj there",
        ),
    ],
)
def test_what_cannot_be_bound(there: dict[str, tuple[int, int]], sentence: str) -> None:
    with pytest.raises(LingarithError, match=re.escape(sentence)):
        binding(there, LLAMA)


def test_two_stacks_that_end_alike() -> None:
    with pytest.raises(LingarithError, match=r"its paths begin with block in the adapter and encoder\.block there"):
        binding({"block.0.layer.0.SelfAttention.q": (8, 8)}, T5)

"""Files on every family of backbones: what PEFT and transformers make of them is what `Backbone.using` computes.

Vectors sit on the attention projections or on all linear layers, and on both in one sum.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import Lora
from lingarith.adapters.terms import Term
from lingarith.algebra import parse
from lingarith.formats.folders import TaskType
from lingarith.formats.lokr import write_lokr
from lingarith.formats.merged import write_merged
from lingarith.formats.peft import write_peft
from lingarith.formats.serving import write_serving
from lingarith.model.backbone import Backbone
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.vector import Vector

FAMILIES = ["t5", "mt5", "umt5", "llama", "gemma2", "gemma3", "qwen2", "qwen3", "mistral", "bloom", "xglm"]

# PEFT 0.21 reads an attribute that transformers 5 has renamed; neither is ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.parametrize("where", ["attention", "all"]),
    pytest.mark.parametrize("family", FAMILIES),
]


def a_vector(name: str, on: Backbone, adapter: Lora | Kronecker, seed: int, where: str) -> Vector:
    """A vector with random numbers in both factors, so large that it changes every output."""
    generator = torch.Generator().manual_seed(seed)
    terms: dict[str, tuple[Term, ...]] = {}
    for path, start in adapter.init(on.shapes_of(where), 0).items():
        a, b = (0.2 * torch.randn(factor.shape, generator=generator) for factor in start)
        terms[path] = (type(start)(a, b),)
    return Vector(name, terms, 1.0, {"backbone": on.facts})


def a_composition(expression: str, space: Space, *vectors: Vector) -> Composition:
    return Composition(parse(expression), {vector.name: vector for vector in vectors}, space)


def logits(model: Any) -> Tensor:
    ids = torch.tensor([[4, 5, 6, 7, 8, 9]])
    more = {"decoder_input_ids": ids[:, :4]} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return torch.as_tensor(model(input_ids=ids, **more).logits)


def here(on: Backbone, composition: Composition) -> Tensor:
    """The logits with the composition added; they are other ones than without."""
    with on.using(realise(composition.combination, composition.vectors, composition.space)):
        found = logits(on.model)
    assert (found - logits(on.model)).abs().max() > 0.1
    return found


def same(found: Tensor, wanted: Tensor, error: float = 3e-5) -> bool:
    """Whether logits agree up to ``error`` of the largest; T5's attention is not scaled, so rounding grows there."""
    return bool((found - wanted).abs().max() <= error * wanted.abs().max())


def in_peft(folder: Path, model: Any) -> Tensor:
    from peft import PeftModel

    return logits(PeftModel.from_pretrained(model.eval(), folder))


def task_type(on: Backbone) -> TaskType:
    return "SEQ_2_SEQ_LM" if on.encoder_decoder else "CAUSAL_LM"


def test_lora_in_peft(family: str, where: str, backbone: Callable[..., Backbone], model: Any, tmp_path: Path) -> None:
    on = backbone(family)
    one, two = a_vector("one", on, Lora(2), 1, where), a_vector("two", on, Lora(3, alpha=6), 2, "attention")
    composition = a_composition("0.7*one + 0.4*(two - one)", Space("delta"), one, two)
    wanted = here(on, composition)
    for write in (write_peft, write_serving):
        write(composition, tmp_path / "adapter", base_model=family, task_type=task_type(on))
        assert same(in_peft(tmp_path / "adapter", model(family)), wanted)


def test_kronecker_in_peft(
    family: str, where: str, backbone: Callable[..., Backbone], model: Any, tmp_path: Path
) -> None:
    on = backbone(family)
    one, two = a_vector("one", on, Kronecker(4, 4), 1, where), a_vector("two", on, Kronecker(8, 2), 2, where)
    alone = a_composition("0.5*one", Space("delta"), one)
    cut = a_composition("0.5*one + 0.3*two", Space("delta", rank=1, kronecker=(4, 4)), one, two)
    for composition in (alone, cut):
        write_lokr(composition, tmp_path / "adapter", base_model=family, task_type=task_type(on))
        assert same(in_peft(tmp_path / "adapter", model(family)), here(on, composition))


def test_a_mixed_sum_merged(
    family: str, where: str, backbone: Callable[..., Backbone], model: Any, tmp_path: Path
) -> None:
    on = backbone(family)
    one, two = a_vector("one", on, Lora(2), 1, "attention"), a_vector("two", on, Kronecker(8, 4), 2, where)
    composition = a_composition("0.7*one - 0.4*two", Space("delta"), one, two)
    on.model.save_pretrained(tmp_path / "base", max_shard_size="20kB")  # type: ignore[operator]
    lost = write_merged(composition, tmp_path / "base", tmp_path / "merged")
    assert 0 < lost < 1e-6
    assert len(list((tmp_path / "merged").glob("*.safetensors"))) > 1
    wanted = here(on, composition)
    merged = type(on.model).from_pretrained(tmp_path / "merged").eval()  # type: ignore[attr-defined]
    assert same(logits(merged), wanted, 1e-6)

    def added(path: str) -> Callable[[Tensor], Tensor]:
        terms = composition.terms[path]
        return lambda x: torch.stack([term.apply(x) for term in terms]).sum(0)

    with on.adding({path: added(path) for path in composition.paths}):  # as packed weights are adapted
        assert same(logits(on.model), wanted)

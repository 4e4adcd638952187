"""Adapters on all linear layers, family by family, against PEFT's ``target_modules="all-linear"``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from lingarith.adapters.kinds import Adapter
from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import Lora
from lingarith.adapters.terms import Term
from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.formats.imported import on_backbone, open_adapter
from lingarith.inspection.measure import inspect
from lingarith.model.backbone import Backbone
from lingarith.model.batches import TaskItems
from lingarith.model.beside import Beside, groups
from lingarith.model.loading import wrap
from lingarith.model.members import Training
from lingarith.model.options import TrainOptions
from lingarith.model.projections import chosen, kinds, linears, projections, sizes
from lingarith.model.train import train
from lingarith.store.store import Store
from lingarith.vectors.composition import realise
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Update, Vector, content_hash
from tests.model.test_train import trained_by_torch

# PEFT 0.21 reads an attribute that transformers 5 has renamed; neither is ours.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
FAMILIES = ["t5", "mt5", "umt5", "llama", "gemma2", "gemma3", "qwen2", "qwen3", "mistral", "bloom", "xglm"]
OPTIONS = TrainOptions(
    steps=3, batch_size=4, learning_rate=1e-2, adapter=Lora(2, 1.0), projections="all", weight_decay=0.1, clip=0.5
)
Make = Callable[..., Any]


def examples(on: Backbone, number: int = 0) -> TaskItems:
    made = []
    for k in range(24):
        source = [4 + (k * (number + 1)) % 12, *range(20, 22 + k % (3 + number))]
        made.append((on.framed(source), [*source[:1], on.eos]))
    return TaskItems(made)


def logits(model: Any) -> Tensor:
    ids = torch.tensor([[4, 5, 6, 7, 8, 9]])
    more = {"decoder_input_ids": ids[:, :4]} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return torch.as_tensor(model(input_ids=ids, **more).logits)


def all_linear(model: Any, **settings: Any) -> Any:
    """A copy of the model under PEFT."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    usual: dict[str, Any] = {"r": 2, "lora_alpha": 3, "target_modules": "all-linear", "init_lora_weights": False}
    return get_peft_model(copy.deepcopy(model), LoraConfig(**{**usual, **settings})).eval()


def adapted(model: Any) -> Mapping[str, Any]:
    return {path: module for path, module in model.base_model.model.named_modules() if hasattr(module, "lora_A")}


@pytest.mark.parametrize("family", FAMILIES)
def test_they_are_those_of_peft(family: str, model: Make) -> None:
    made = model(family)
    found = linears(made, projections(made))
    assert found.keys() == adapted(all_linear(made)).keys()
    assert found.keys() > projections(made).keys()
    assert all(made.get_submodule(path) is module for path, module in found.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_of_pefts(family: str, backbone: Make, tmp_path: Path) -> None:
    on = backbone(family)
    theirs = all_linear(on.model, rank_pattern={"(wo|down_proj|fc2|dense_4h_to_h)": 3}, alpha_pattern={".*1.*": 5})
    theirs.save_pretrained(tmp_path, save_embedding_layers=False)
    store = Store(tmp_path / "store")
    placed = on_backbone(open_adapter(tmp_path, "task[en]"), on.facts, on.sizes)
    assert "renamed" not in placed.origin
    store.put(placed)
    update = realise(parse("task[en]"), {"task[en]": store.get("task[en]")}, "delta")
    wanted = logits(theirs)
    with on.using(update):
        torch.testing.assert_close(logits(on.model), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    beside = Beside(on, [update])
    beside.owners = torch.zeros(1, dtype=torch.long)
    with beside.open():
        torch.testing.assert_close(logits(on.model), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("where", ["all", "in:*.1.*", "in:*.w*"])
@pytest.mark.parametrize("family", FAMILIES)
def test_steps_are_those_of_peft_and_adamw(family: str, where: str, backbone: Make, tmp_path: Path) -> None:
    on = backbone(family)
    if where == "in:*.w*" and "t5" not in family:
        where = "in:*.fc[12]" if family == "xglm" else "in:*.mlp.*"
    shapes = on.shapes_of(where)
    theirs = all_linear(on.model, target_modules=list(shapes), lora_alpha=1)
    assert adapted(theirs).keys() == shapes.keys()
    for path, (a, b) in Lora(2).init(shapes, OPTIONS.init_seed).items():
        layer = theirs.base_model.model.get_submodule(path)
        layer.lora_A["default"].weight.data.copy_(a)
        layer.lora_B["default"].weight.data.copy_(b)
    options = replace(OPTIONS, projections=where)
    trained_by_torch(theirs, on, options, examples(on))
    ((_, vector),) = train(on, [Training("x", examples(on), options, tmp_path)])
    assert vector.origin["projections"] == kinds(shapes)
    assert vector.origin["options"]["projections"] == where
    ours = realise(parse("x"), {"x": vector}, "delta")
    assert ours.terms.keys() == shapes.keys()
    # AdamW divides by the gradient's size: where that is rounding, so is the step.
    size = max(float(module.get_delta_weight("default").detach().abs().max()) for module in adapted(theirs).values())
    for path, module in adapted(theirs).items():
        torch.testing.assert_close(ours.delta(path), module.get_delta_weight("default"), rtol=0, atol=1e-4 * size)
    wanted = logits(theirs)
    with on.using(ours):
        torch.testing.assert_close(logits(on.model), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("adapter", [Lora(2, 3.0), Kronecker(4, 8)])
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_several_at_once_and_one_that_was_stopped(
    family: str, adapter: Adapter, backbone: Make, tmp_path: Path
) -> None:
    on = backbone(family)

    def trainings(name: str, **changed: Any) -> list[Training]:
        options = [replace(OPTIONS, adapter=adapter, steps=4, seed=k, checkpoint_every=2) for k in range(3)]
        return [
            replace(Training(f"x{k}", examples(on, k), one, tmp_path / name / str(k)), **changed)
            for k, one in enumerate(options)
        ]

    def trained(which: list[Training], together: int) -> list[Vector]:
        return [vector for _, vector in sorted(train(on, which, together=together), key=lambda pair: pair[0])]

    alone = [trained([one], 1)[0] for one in trainings("alone")]
    beside = trained(trainings("beside"), 3)
    for one, other in zip(alone, beside, strict=True):
        assert one.terms.keys() == other.terms.keys() == on.linears.keys()
        for path in one.terms:
            torch.testing.assert_close(one.terms[path][0].delta(), other.terms[path][0].delta(), rtol=0, atol=1e-4)

    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        trained(trainings("stopped", saved=stop), 1)
    again = trained(trainings("stopped"), 1)
    assert content_hash(FlatTensors.of(again[0])) == content_hash(FlatTensors.of(alone[0]))


def test_what_shares_no_pass(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    made = [
        Training(f"x{k}", examples(on), replace(OPTIONS, projections=where), tmp_path / str(k))
        for k, where in enumerate(("attention", "all", "in:*.mlp.*"))
    ]
    vectors = [vector for _, vector in train(on, made, together=3)]
    counts = [len(vector.terms) for vector in vectors]
    assert counts == [8, 14, 6]
    assert "projections" not in vectors[0].origin
    assert "projections" not in vectors[0].origin["options"]
    assert vectors[2].origin["projections"] == [f"model.layers.*.mlp.{name}_proj" for name in ("gate", "up", "down")]


@pytest.mark.parametrize("family", ["llama", "t5", "bloom"])
def test_sums_of_vectors_on_different_layers(family: str, backbone: Make) -> None:
    on = backbone(family)
    generator = torch.Generator().manual_seed(0)

    def a_vector(name: str, where: str, adapter: Lora | Kronecker) -> Vector:
        terms: dict[str, tuple[Term, ...]] = {}
        for path, start in adapter.init(on.shapes_of(where), 0).items():
            terms[path] = (type(start)(*(0.1 * torch.randn(t.shape, generator=generator) for t in start)),)
        return Vector(name, terms, 1.0, {"backbone": on.facts})

    vectors = {
        one.name: one
        for one in (
            a_vector("a", "all", Lora(2)),
            a_vector("b", "attention", Lora(3)),
            a_vector("c", "all", Kronecker(4, 4)),
        )
    }
    combination = parse("0.5*a - b + 2*c")
    update = realise(combination, vectors, "delta")
    assert update.terms.keys() == on.linears.keys()
    found = inspect(combination, vectors, ["factors", "delta"])
    assert "factors" in found.refused
    wanted = []
    for path, module in on.linears.items():
        parts = zip(vectors.values(), (0.5, -1, 2), strict=True)
        dense = sum(c * vector.terms[path][0].delta() for vector, c in parts if path in vector.terms)
        torch.testing.assert_close(update.delta(path), dense)
        wanted.append(nn.Parameter(module.weight.data + dense, requires_grad=False))
        assert found.figures([path]).norm == pytest.approx(float(dense.norm()), rel=1e-4)
    with on.replacing(dict(zip((f"{path}.weight" for path in on.linears), wanted, strict=True))):
        right = logits(on.model)
    with on.using(update):
        torch.testing.assert_close(logits(on.model), right, rtol=1e-4, atol=1e-4 * float(right.abs().max()))
    rows = [realise(parse(text), vectors, "delta") for text in ("a", "b", "a - b")]
    assert [len(group) for group in groups(rows)] == [3]
    ids = torch.tensor([[4, 5, 6, 7]] * 3)
    more = {"decoder_input_ids": ids} if on.encoder_decoder else {}
    beside = Beside(on, [row for row in rows if row])
    beside.owners = torch.arange(3)
    with beside.open(), torch.no_grad():
        together = on.model(input_ids=ids, **more).logits
    for row, one in enumerate(rows):
        with on.using(one), torch.no_grad():
            alone = on.model(input_ids=ids[:1], **{key: value[:1] for key, value in more.items()}).logits
        torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


def test_what_cannot_be_adapted(backbone: Make, update: Make) -> None:
    on = backbone("llama")
    with pytest.raises(
        LingarithError, match=r"no linear layer of llama is called \*\.ffn\.\*; there are: model\.layers"
    ):
        on.shapes_of("in:*.ffn.*")
    head = Update({"lm_head": update(on).terms["model.layers.0.self_attn.q_proj"]}, "delta")
    with pytest.raises(LingarithError, match="lm_head is no linear layer of a block there"), on.using(head):
        pass
    on.model.model.layers[1].mlp.up_proj = nn.Identity()
    fresh = wrap(on.model, on.tokenizer, name="llama")
    assert len(fresh.shapes) == 8
    with pytest.raises(
        LingarithError, match=r"only one of model\.layers\.0 and model\.layers\.1 has a linear layer mlp\.up_proj; say"
    ):
        fresh.shapes_of("all")
    assert len(fresh.shapes_of("in:*")) == 13
    on.model.model.layers[1].mlp.up_proj = on.model.model.layers[0].mlp.up_proj
    on.model.model.layers[1].mlp.gate_proj.weight = on.model.model.layers[0].mlp.gate_proj.weight
    with pytest.raises(LingarithError, match="blocks of LlamaForCausalLM share a projection"):
        wrap(on.model, on.tokenizer, name="llama")


def test_experts_are_no_linear_layers() -> None:
    sizes_ = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.Qwen3MoeConfig(
        **sizes_, num_key_value_heads=2, head_dim=8, vocab_size=64, num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=16, decoder_sparse_step=1, pad_token_id=0,
    )  # fmt: skip
    made = transformers.Qwen3MoeForCausalLM(config)
    every = linears(made, projections(made))
    assert {sizes(module) for module in every.values()} == {(32, 32), (16, 32)}
    with pytest.raises(LingarithError, match=r"model\.layers\.0 of moe has no linear layers beside its attention"):
        chosen("all", [*projections(made)], [*every], "moe")

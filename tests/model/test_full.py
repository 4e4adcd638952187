"""Full fine-tuning: a plain loop of torch is its oracle, and the backbone comes back bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lingarith.adapters.dense import DenseTerm, Full
from lingarith.algebra import parse
from lingarith.disk.tensors import read_safetensors
from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.batches import Stream, TaskItems, collate
from lingarith.model.loading import wrap
from lingarith.model.members import CHECKPOINT, Training
from lingarith.model.options import TrainOptions
from lingarith.model.train import mean_loss, train
from lingarith.vectors.composition import realise
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Update, Vector, content_hash

Make = Callable[..., Any]
OPTIONS = TrainOptions(steps=4, batch_size=4, learning_rate=1e-2, adapter=Full(), clip=0.5, checkpoint_every=2)
TIED = {"tie_word_embeddings": True}
CASES = pytest.mark.parametrize(
    ("family", "settings"),
    [("t5", {}), ("mt5", {"tie_word_embeddings": False}), ("llama", TIED), ("qwen2", {}), ("bloom", {}), ("xglm", {})],
)


def examples(on: Backbone, count: int = 24) -> TaskItems:
    made = []
    for k in range(count):
        first = 4 + k % 12
        made.append((on.framed([first, *range(20, 21 + k % 5)]), [*[first] * (1 + k % 3), on.eos]))
    return TaskItems(made)


def run(on: Backbone, options: TrainOptions, folder: Path, **more: Any) -> Vector:
    watch: Callable[[int], None] | None = more.pop("watch", None)
    one = Training("x[en]", examples(on), options, folder, {"kind": "task"}, **more)
    [(_, made)] = train(on, [one], watch=lambda _, step, loss: watch(step) if watch else None)
    return made


def update(made: Vector, c: float = 1.0) -> Update:
    return realise(c * parse(made.name), {made.name: made}, "delta")


def plain(on: Backbone, options: TrainOptions) -> nn.Module:
    """The model after a loop that knows nothing of vectors: AdamW over all parameters of a copy.

    Some gradients are 0 but for rounding (a key's bias), and Adam makes steps of them: so the loss is
    computed as there, to the bit.
    """
    model = copy.deepcopy(on.model).requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=options.weight_decay, fused=True)
    stream = Stream(examples(on), options.seed, options.batch_size)
    for step in range(options.steps):
        batch = collate(on, stream.at(step))
        taught = batch.labels != -100
        logits = model(**batch.inputs, use_cache=False).logits[taught]
        (nn.functional.cross_entropy(logits, batch.labels[taught], reduction="sum") / taught.sum().item()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), options.clip)
        optimizer.param_groups[0]["lr"] = options.rate(step)
        optimizer.step()
        optimizer.zero_grad()
    return model


def state(model: nn.Module) -> dict[str, tuple[int, bool, Tensor]]:
    parameters = model.named_parameters(remove_duplicate=False)
    return {name: (id(p), p.requires_grad, p.detach().clone()) for name, p in parameters}


def same(model: nn.Module, before: dict[str, tuple[int, bool, Tensor]]) -> bool:
    after = dict(model.named_parameters(remove_duplicate=False))
    return after.keys() == before.keys() and all(
        id(p) == before[name][0] and p.requires_grad == before[name][1] and torch.equal(p, before[name][2])
        for name, p in after.items()
    )


@CASES
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_loop_is_a_plain_one(
    family: str, settings: dict[str, Any], decay: float, backbone: Make, tmp_path: Path
) -> None:
    on = backbone(family, **settings)
    before, options = state(on.model), replace(OPTIONS, weight_decay=decay)
    made = run(on, options, tmp_path)
    assert same(on.model, before)
    right = dict(plain(on, options).named_parameters())
    assert {f"{path}.weight" for path in made.terms} | made.rest.keys() == right.keys()
    with on.using(update(made)):
        found = dict(on.model.named_parameters())
        assert found.keys() == right.keys()
        for name, tensor in right.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-7, msg=name)
            assert not torch.equal(found[name], before[name][2])
    assert same(on.model, before)


def test_what_comes_back(backbone: Make, tmp_path: Path) -> None:
    on = backbone("t5")
    made = run(on, OPTIONS, tmp_path, validation=examples(on))
    assert made.adapter == "full"
    assert {path: term.size for path, (term,) in made.terms.items()} == on.shapes
    assert all(isinstance(term, DenseTerm) for (term,) in made.terms.values())
    assert made.rest["shared.weight"].shape == on.model.shared.weight.shape
    assert all(tensor.dtype == torch.float32 and not tensor.requires_grad for tensor in FlatTensors.of(made).values())
    assert (made.origin["adapter"], made.origin["init_hash"]) == ({"kind": "full"}, None)


def test_tied_embeddings_stay_tied(backbone: Make, tmp_path: Path) -> None:
    on = backbone("t5")
    made = run(on, OPTIONS, tmp_path)
    assert not {name for name in made.rest if "embed_tokens" in name or "lm_head" in name}
    with on.using(update(made)):
        model: Any = on.model
        assert model.shared.weight is model.encoder.embed_tokens.weight is model.lm_head.weight
        assert not torch.equal(model.shared.weight, backbone("t5").model.shared.weight)


def test_it_learns_and_half_of_it_is_half(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    made = run(on, replace(OPTIONS, steps=30), tmp_path, validation=examples(on))
    losses = []
    for c in (0.0, 0.5, 1.0):
        with on.using(update(made, c) if c else None):
            losses.append(mean_loss(on, examples(on), OPTIONS))
            if c == 0.5:
                name, change = next(iter(made.rest.items()))
                own = dict(backbone("llama").model.named_parameters())[name]
                torch.testing.assert_close(dict(on.model.named_parameters())[name].data, own.data + 0.5 * change)
    assert losses[2] < 0.8 * losses[0]
    assert losses[2] < losses[1] < losses[0]


def test_stopped_and_resumed(backbone: Make, tmp_path: Path) -> None:
    on = backbone("t5")
    whole = run(on, OPTIONS, tmp_path / "whole")
    before = state(on.model)

    def stop(step: int, *_: object) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(on, OPTIONS, tmp_path / "stopped", watch=stop)
    assert same(on.model, before)
    again = run(on, OPTIONS, tmp_path / "stopped")
    assert content_hash(FlatTensors.of(again)) == content_hash(FlatTensors.of(whole))
    one, other = (read_safetensors(tmp_path / folder / CHECKPOINT) for folder in ("whole", "stopped"))
    one.pop("counts"), other.pop("counts")
    assert content_hash(one) == content_hash(other)


def test_a_parameter_that_the_model_does_not_use(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    on.model.register_parameter("idle", nn.Parameter(torch.ones(3), requires_grad=False))

    def stop(step: int, *_: object) -> None:
        if step == 3:
            raise KeyboardInterrupt

    whole = run(on, OPTIONS, tmp_path / "whole")
    assert torch.equal(whole.rest["idle"], torch.zeros(3))
    with pytest.raises(KeyboardInterrupt):
        run(on, OPTIONS, tmp_path / "stopped", watch=stop)
    assert content_hash(FlatTensors.of(run(on, OPTIONS, tmp_path / "stopped"))) == content_hash(FlatTensors.of(whole))


def test_activation_checkpointing_changes_nothing(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    made = run(on, OPTIONS, tmp_path / "plain")
    less = run(on, replace(OPTIONS, activation_checkpointing=True), tmp_path / "less")
    assert FlatTensors.of(made).keys() == FlatTensors.of(less).keys()
    for name, tensor in FlatTensors.of(made).items():
        torch.testing.assert_close(FlatTensors.of(less)[name], tensor, rtol=0, atol=1e-6)


def test_a_backbone_in_half_precision_is_trained_in_float32(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    on.model.to(torch.bfloat16)
    before = state(on.model)
    made = run(on, replace(OPTIONS, learning_rate=1e-4), tmp_path)
    assert same(on.model, before)
    assert next(on.model.parameters()).dtype == torch.bfloat16
    assert 0 < made.rest["model.norm.weight"].abs().max() < 1e-3  # less than bfloat16 can tell from 1


def test_a_quantised_backbone_is_refused(model: Make, tokenizer: Make, tmp_path: Path) -> None:
    made = model("llama")
    weight = made.model.layers[1].mlp.up_proj.weight
    made.model.layers[1].mlp.up_proj.weight = nn.Parameter(weight.detach().to(torch.int8), requires_grad=False)
    on = wrap(made, tokenizer("llama"), name="packed")
    with pytest.raises(LingarithError, match=r"packed cannot be fine-tuned in full: .*up_proj.weight is quantised or"):
        run(on, OPTIONS, tmp_path)


def test_an_update_of_other_parameters_is_refused(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    right = update(run(on, OPTIONS, tmp_path))
    before = state(on.model)
    for wrong, sentence in (
        ({"model.norm.bias": torch.zeros(32)}, "model.norm.bias is no parameter there to which something can be added"),
        ({"model.norm.weight": torch.zeros(33)}, "model.norm.weight is 32 there and 33 in the update; compose it"),
    ):
        with pytest.raises(LingarithError, match=sentence), on.using(replace(right, rest=wrong)):
            pass
    assert same(on.model, before)


def test_using_restores_after_an_exception(backbone: Make, tmp_path: Path) -> None:
    on = backbone("t5")
    made, before = update(run(on, OPTIONS, tmp_path)), state(on.model)
    with pytest.raises(RuntimeError, match="in the middle"), on.using(made), on.using(made):
        raise RuntimeError("in the middle")
    assert same(on.model, before)

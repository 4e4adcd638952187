"""Vectors of full fine-tuning in sums, in the store, in checkpoints, and where they are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lingarith.adapters.dense import DenseTerm
from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import Lora
from lingarith.adapters.terms import Term, mapped
from lingarith.algebra import parse
from lingarith.disk.tensors import read_safetensors, write_safetensors
from lingarith.errors import LingarithError
from lingarith.formats.lokr import write_lokr
from lingarith.formats.merged import write_merged
from lingarith.formats.peft import write_peft
from lingarith.formats.serving import write_serving
from lingarith.inspection.measure import inspect
from lingarith.report.inspected import warnings
from lingarith.store.objects import vector_hash
from lingarith.store.store import Store
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.noise import noise
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Vector, content_hash

G = torch.Generator().manual_seed(0)
SIZES = {f"model.layers.{k}.attn.{name}": size for k in (0, 1) for name, size in (("q", (6, 4)), ("k", (2, 4)))}
REST = {"model.embed.weight": (8, 4), "model.layers.0.attn.q.bias": (6,), "model.norm.weight": (4,)}
BACKBONE = {"name": "tiny", "fingerprint": "ff"}


def full(name: str, scale: float = 1.0) -> Vector:
    terms = {path: (DenseTerm(0.1 * torch.randn(size, generator=G)),) for path, size in SIZES.items()}
    rest = {name: 0.1 * torch.randn(size, generator=G) for name, size in REST.items()}
    return Vector(name, terms, scale, {"backbone": BACKBONE, "init_seed": 0, "adapter": {"kind": "full"}}, rest)


def adapted(name: str, adapter: Lora | Kronecker) -> Vector:
    start: Mapping[str, Term] = adapter.init(SIZES, 0)
    moved = {path: (mapped(term, lambda t: t + torch.randn(t.shape, generator=G)),) for path, term in start.items()}
    return Vector(name, moved, 0.5, {"backbone": BACKBONE})


VECTORS = {
    vector.name: vector
    for vector in (full("x"), full("y", 2.0), adapted("lora", Lora(2)), adapted("kronecker", Kronecker(2, 1)))
}
SUM = parse("0.5*x - 2*y + 3*lora - kronecker")


def dense(combination: str, path: str) -> Tensor:
    """The same sum by plain matrices in float64."""
    total = torch.zeros(SIZES[path], dtype=torch.float64)
    for name, c in parse(combination).weights.items():
        total += c * VECTORS[name].scale * sum(term.delta().double() for term in VECTORS[name].terms[path])
    return total


def test_a_sum_with_adapters() -> None:
    made = realise(SUM, VECTORS, "delta")
    for path in SIZES:
        torch.testing.assert_close(made.delta(path).double(), dense(str(SUM), path), rtol=1e-5, atol=1e-6)
        assert [term.kind for term in made.terms[path]] == ["lora", "kronecker-2x1", "dense"]
    assert list(made.rest) == sorted(REST)
    for name, change in made.rest.items():
        right = 0.5 * VECTORS["x"].rest[name].double() - 2 * 2.0 * VECTORS["y"].rest[name].double()
        torch.testing.assert_close(change.double(), right, rtol=1e-6, atol=1e-7)


def test_what_only_some_change_is_added_once() -> None:
    made = realise(parse("x + lora"), VECTORS, "delta")
    assert all(torch.equal(made.rest[name], VECTORS["x"].rest[name]) for name in REST)
    assert not realise(parse("lora + kronecker"), VECTORS, "delta").rest


def test_a_projection_that_is_one_of_the_other_parameters(tmp_path: Path) -> None:
    path, weight = "model.layers.0.mlp.up", 0.1 * torch.randn(6, 4, generator=G)
    x = replace(VECTORS["y"], name="x", rest={**VECTORS["y"].rest, f"{path}.weight": weight})
    wide = {**VECTORS["lora"].terms, path: VECTORS["lora"].terms["model.layers.0.attn.q"]}
    vectors = {"x": x, "lora": replace(VECTORS["lora"], terms=wide)}
    wanted = 2 * 2.0 * weight - 0.5 * wide[path][0].delta()
    for combination in (parse("2*x - lora"), parse("-1*lora + 2*x")):
        made = Composition(combination, vectors, Space("delta"))
        torch.testing.assert_close(realise(combination, vectors, "delta").delta(path), wanted)
        assert (list(made.rest), [term.kind for term in made.at(path)]) == (sorted(REST), ["lora", "dense"])
    store = Store(tmp_path)
    store.put(made.vector("mix", dict.fromkeys(vectors, "0")))
    torch.testing.assert_close(realise(parse("mix"), {"mix": store.get("mix")}, "delta").delta(path), wanted)


def test_into_the_store_and_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.put(VECTORS["y"])
    got = store.get("y")
    assert content_hash(FlatTensors.of(got)) == content_hash(FlatTensors.of(VECTORS["y"]))
    assert (vector_hash(got), got.scale, got.adapter) == (digest, 2.0, "full")
    assert store.put(got) == digest
    assert store.verify() == []
    names = read_safetensors(tmp_path / "objects" / digest / "vector.safetensors").keys()
    assert {"model.layers.0.attn.q.dense.change", "model.norm.weight.rest", "model.layers.0.attn.q.bias.rest"} <= names


def test_a_composed_one_into_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for vector in VECTORS.values():
        store.put(vector)
    opened = {name: store.open(name) for name in VECTORS}
    made = Composition(SUM, opened, Space("delta"))
    hashes = {name: store.resolve(name) for name in VECTORS}
    store.put(made.vector("mix", hashes))
    mix, update = store.get("mix"), realise(SUM, VECTORS, "delta")
    again = realise(parse("mix"), {"mix": mix}, "delta")
    assert all(torch.equal(again.rest[name], change) for name, change in update.rest.items())
    for path in SIZES:
        torch.testing.assert_close(again.delta(path), update.delta(path))
    squared = sum(float(update.delta(path).double().square().sum()) for path in SIZES)
    squared += sum(float(change.double().square().sum()) for change in update.rest.values())
    assert made.norm == pytest.approx(squared**0.5, rel=1e-5)
    assert content_hash(FlatTensors(update.terms, update.rest)) == content_hash(FlatTensors.of(mix))


@pytest.mark.parametrize("name", ["model.norm.weight.rest", "model.layers.0.attn.q.dense.change"])
def test_damage_is_found(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    file = tmp_path / "objects" / store.put(VECTORS["x"]) / "vector.safetensors"
    held = read_safetensors(file)
    write_safetensors(file, held | {name: held[name] + 1})
    with pytest.raises(LingarithError, match="was changed: its hash is not"):
        store.get("x")
    write_safetensors(file, held | {name: held[name].half()})
    [problem] = store.verify()
    assert "float32" in problem
    assert "\n" not in problem


@pytest.mark.parametrize("space", ["factors", "anchored", "peft-linear"])
@pytest.mark.parametrize("sum_", ["x", "x - y", "lora + x"])
def test_other_spaces_are_refused(space: str, sum_: str) -> None:
    sentence = f'^x cannot be added in {space} space: it is full fine-tuning and has no factors; use space="delta"$'
    with pytest.raises(LingarithError, match=sentence):
        realise(parse(sum_), VECTORS, space)


def test_what_cannot_carry_other_parameters_is_refused(tmp_path: Path) -> None:
    carry = r"cannot carry what full fine-tuning changes beside the projections \(model.embed.weight, .*; 3 parameters"
    for cut in (Space("delta", rank=1), Space("delta", rank=1, kronecker=(2, 1))):
        with pytest.raises(LingarithError, match=f"^a cut to a rank {carry}.*--format merged$"):
            realise(SUM, VECTORS, cut)
    made = Composition(SUM, VECTORS, Space("delta"))
    for write, what in ((write_peft, "PEFT's LoRA"), (write_serving, "PEFT's LoRA"), (write_lokr, "PEFT's LoKr")):
        with pytest.raises(LingarithError, match=f"^{what} {carry}"):
            write(made, tmp_path / "out", base_model="tiny", task_type="CAUSAL_LM")
    assert list(tmp_path.iterdir()) == []


def test_other_sizes_and_backbones_are_refused() -> None:
    x = VECTORS["x"]
    wider = Vector("wide", x.terms, 1.0, x.origin, dict(x.rest) | {"model.norm.weight": torch.zeros(5)})
    with pytest.raises(LingarithError, match=r"different backbones: the sizes of model\.norm\.weight differ"):
        realise(parse("x + wide"), {"x": x, "wide": wider}, "delta")
    other = Vector("other", x.terms, 1.0, {"backbone": {"fingerprint": "00"}}, x.rest)
    with pytest.raises(LingarithError, match="belong to different backbones"):
        realise(parse("x + other"), {"x": x, "other": other}, "delta")


def test_noise_as_large() -> None:
    like, made = VECTORS["y"], noise(VECTORS["y"], "random", 0)
    assert (made.scale, made.adapter, made.origin["kind"]) == (2.0, "full", "random")
    theirs = FlatTensors.of(like)
    for name, tensor in FlatTensors.of(made).items():
        assert float(tensor.norm()) == pytest.approx(float(theirs[name].norm()), rel=1e-5)
        assert not torch.allclose(tensor, theirs[name])
    assert content_hash(FlatTensors.of(noise(like, "again", 0))) == content_hash(FlatTensors.of(made))
    assert content_hash(FlatTensors.of(noise(like, "other", 1))) != content_hash(FlatTensors.of(made))
    mixed = Composition(SUM, VECTORS, Space("delta")).vector("mixed", dict.fromkeys(VECTORS, "0"))
    with pytest.raises(LingarithError, match="is a sum of full fine-tuning and adapters"):
        noise(mixed, "random", 0)


def test_inspected() -> None:
    found = inspect(SUM, VECTORS)
    assert found.refused.keys() == {"factors", "anchored", "peft-linear"}
    assert found.refused["factors"].endswith("it is full fine-tuning and has no factors")
    right = sum(float(dense(str(SUM), path).square().sum()) for path in SIZES) ** 0.5
    figures = found.figures()
    assert figures.norm == pytest.approx(right, rel=1e-6)
    assert figures.results["delta"].cosine == pytest.approx(1)
    assert figures.drift["x"] is None
    assert any("full fine-tuning changes 3 parameters beside the projections" in said for said in warnings(found))


def base(folder: Path, held: Mapping[str, Tensor]) -> Path:
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", held)
    (folder / "config.json").write_text(json.dumps({"model_type": "tiny"}))
    return folder


def checkpoint(dtype: torch.dtype) -> dict[str, Tensor]:
    sizes: dict[str, tuple[int, ...]] = {f"{path}.weight": size for path, size in SIZES.items()} | REST
    return {name: torch.randn(size, generator=G).to(dtype) for name, size in sizes.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prefix", ["model.", "", "transformer.model."])
def test_a_merged_checkpoint_has_it_all(dtype: torch.dtype, prefix: str, tmp_path: Path) -> None:
    held = {prefix + name.removeprefix("model."): tensor for name, tensor in checkpoint(dtype).items()}
    tied = {"lm_head.weight": held[f"{prefix}embed.weight"], "buffer": torch.ones(8, 4, dtype=dtype)}
    update = realise(SUM, VECTORS, "delta")
    write_merged(Composition(SUM, VECTORS, Space("delta")), base(tmp_path / "base", held | tied), tmp_path / "out")
    found = read_safetensors(tmp_path / "out/model.safetensors")
    added = {f"{path}.weight": update.delta(path) for path in SIZES} | dict(update.rest)
    for name, change in added.items():
        own = prefix + name.removeprefix("model.")
        right = (held[own].float() + change).to(dtype)
        torch.testing.assert_close(found[own], right, rtol=1e-6 if dtype == torch.float32 else 1e-2, atol=1e-6)
    assert torch.equal(found["lm_head.weight"], found[f"{prefix}embed.weight"])
    assert torch.equal(found["buffer"], tied["buffer"])


def test_a_checkpoint_without_a_parameter_is_refused(tmp_path: Path) -> None:
    held = checkpoint(torch.float32)
    made = Composition(SUM, VECTORS, Space("delta"))
    wrong = {
        "gone": {name: tensor for name, tensor in held.items() if name != "model.norm.weight"},
        "wide": held | {"model.norm.weight": torch.ones(5)},
        "packed": held | {"model.norm.weight": torch.ones(4, dtype=torch.int8)},
    }
    for folder, tensors in wrong.items():
        with pytest.raises(LingarithError, match=r"has no tensor for model\.norm\.weight \(4\) to which something can"):
            write_merged(made, base(tmp_path / folder, tensors), tmp_path / "out")
    assert not (tmp_path / "out").exists()

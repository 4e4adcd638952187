"""Merged checkpoints: every number against dense arithmetic, every name and file against the base."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lingarith.adapters.kronecker import KroneckerTerm
from lingarith.adapters.lora import LoraTerm
from lingarith.adapters.terms import Term
from lingarith.algebra import parse
from lingarith.disk.tensors import TensorFile, read_safetensors, write_safetensors
from lingarith.errors import LingarithError
from lingarith.formats.checkpoints import checkpoint
from lingarith.formats.merged import weights, write_merged
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.vector import Vector

SIZES = {f"model.layers.{k}.attn.{name}": size for k in (0, 1) for name, size in (("q", (6, 4)), ("k", (2, 4)))}
Named = dict[str, Tensor]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def composition(space: Space | str = "delta", size: float = 0.01) -> Composition:
    """A LoRA and a Kronecker vector on four projections."""
    lora: dict[str, tuple[Term, ...]] = {}
    kronecker: dict[str, tuple[Term, ...]] = {}
    for seed, (path, (out, inner)) in enumerate(SIZES.items()):
        lora[path] = (LoraTerm(random(2, inner, seed=seed), size * random(out, 2, seed=seed + 9)),)
        kronecker[path] = (
            KroneckerTerm(random(1, 2, 4, seed=seed), size * random(1, out // 2, inner // 4, seed=seed)),
        )
    origin = {"backbone": {"name": "tiny", "fingerprint": "ff"}}
    vectors = {"a": Vector("a", lora, 1.0, origin), "b": Vector("b", kronecker, 1.0, origin)}
    return Composition(parse("0.7*a - 2*b"), vectors, Space.of(space))


def tensors(dtype: torch.dtype = torch.bfloat16, names: dict[str, str] | None = None) -> Named:
    """A checkpoint: the projections, an embedding, and a mask of another type."""
    made = {f"{path}.weight": random(*size, seed=k).to(dtype) for k, (path, size) in enumerate(SIZES.items())}
    made |= {"model.embed.weight": random(8, 4).to(dtype), "model.norm.weight": torch.ones(4), "mask": torch.eye(3) > 0}
    return {(names or {}).get(name, name): tensor for name, tensor in made.items()}


def a_base(folder: Path, held: Named | None = None, config: dict[str, Any] | None = None) -> Path:
    """A backbone's folder, in two shards, with what may lie beside them."""
    held = tensors() if held is None else held
    folder.mkdir()
    shards = {"model-00001-of-00002.safetensors": list(held)[:3], "model-00002-of-00002.safetensors": list(held)[3:]}
    for shard, names in shards.items():
        write_safetensors(folder / shard, {name: held[name] for name in names}, {"format": "pt"})
    where = {name: shard for shard, names in shards.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    (folder / "config.json").write_text(json.dumps(config or {"model_type": "tiny"}))
    for name in ("tokenizer.json", "spiece.model", "chat_template.jinja", "LICENSE", "merges.txt"):
        (folder / name).write_text(name)
    for name in ("pytorch_model.bin", "pytorch_model.bin.index.json", "modeling_tiny.py", "README.md", "x.zip"):
        (folder / name).write_text("not this")
    (folder / "original").mkdir()
    return folder


def everything(folder: Path) -> Named:
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in read_safetensors(path).items()}


def test_one_tensor_of_the_base_is_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[weakref.ref[Tensor]] = []
    alive: list[int] = []
    plainly = TensorFile.__getitem__

    def watched(self: TensorFile, name: str) -> Tensor:
        alive.append(sum(one() is not None for one in read))
        read.append(weakref.ref(tensor := plainly(self, name)))
        return tensor

    base = a_base(tmp_path / "base")
    monkeypatch.setattr(TensorFile, "__getitem__", watched)
    write_merged(composition(), base, tmp_path / "merged")
    assert alive == [0] * len(tensors())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_numbers_and_their_rounding(dtype: torch.dtype, tmp_path: Path) -> None:
    before, made = tensors(dtype), composition()
    lost = write_merged(made, a_base(tmp_path / "base", before), tmp_path / "merged", origin={"expression": "x"})
    update = realise(made.combination, made.vectors, made.space)
    after = everything(tmp_path / "merged")
    assert after.keys() == before.keys()
    squares = [0.0, 0.0]
    for name, base in before.items():
        path = name.removesuffix(".weight")
        assert after[name].dtype == base.dtype
        if path not in SIZES:
            assert torch.equal(after[name], base)
            continue
        change = update.delta(path)
        assert torch.equal(after[name], (base.float() + change).to(dtype))
        squares[0] += float((after[name].double() - base.double() - change.double()).square().sum())
        squares[1] += float(change.double().square().sum())
    assert lost == pytest.approx((squares[0] / squares[1]) ** 0.5, rel=1e-2)
    bounds = {torch.bfloat16: (1e-2, 0.5), torch.float16: (1e-3, 0.1), torch.float32: (1e-8, 1e-5)}
    assert bounds[dtype][0] < lost < bounds[dtype][1]
    about = json.loads((tmp_path / "merged" / "lingarith.json").read_text())
    assert (about["expression"], about["space"], about["rounding"], about["error"]) == ("x", "delta", lost, 0)


def test_files_are_those_of_the_base(tmp_path: Path) -> None:
    base = a_base(tmp_path / "base")
    write_merged(composition(), base, tmp_path / "merged")
    beside = {"tokenizer.json", "spiece.model", "chat_template.jinja", "LICENSE", "merges.txt", "config.json"}
    shards = {path.name for path in base.glob("*.safetensors")}
    found = {path.name for path in (tmp_path / "merged").iterdir()}
    assert found == beside | shards | {"model.safetensors.index.json", "lingarith.json", "README.md"}
    for name in beside | {"model.safetensors.index.json"}:
        assert (tmp_path / "merged" / name).read_bytes() == (base / name).read_bytes()
    for name in shards:
        old, new = TensorFile(base / name), TensorFile(tmp_path / "merged" / name)
        assert (old.places, old.metadata) == (new.places, new.metadata)


def test_the_cut_is_stated_beside_the_rounding(tmp_path: Path) -> None:
    made = composition(Space("delta", rank=1))
    write_merged(made, a_base(tmp_path / "base"), tmp_path / "merged")
    about = json.loads((tmp_path / "merged" / "lingarith.json").read_text())
    assert about["error"] == realise(made.combination, made.vectors, made.space).error > 0


@pytest.mark.parametrize(
    "renamed",
    [
        {f"{path}.weight": f"{path.removeprefix('model.')}.weight" for path in SIZES},
        {f"{path}.weight": f"language_model.{path}.weight" for path in SIZES},
        {f"{path}.weight": f"text.{path.removeprefix('model.')}.weight" for path in SIZES},
    ],
)
def test_names_that_begin_otherwise(renamed: dict[str, str], tmp_path: Path) -> None:
    held = tensors(names=renamed) | {"vision.layers.0.attn.q.weight": random(5, 5)}
    base = a_base(tmp_path / "base", held)
    shards = [TensorFile(path) for path in sorted(base.glob("*.safetensors"))]
    outline = composition().vectors["a"].terms
    assert weights(outline, shards) == {path: renamed[f"{path}.weight"] for path in SIZES}
    exact = {f"{path}.weight": f"draft.{path}.weight" for path in SIZES}
    write_safetensors(base / "more.safetensors", tensors(names=exact))
    write_safetensors(base / "exact.safetensors", tensors())
    more = [TensorFile(base / "more.safetensors"), TensorFile(base / "exact.safetensors")]
    assert weights(outline, more) == {path: f"{path}.weight" for path in SIZES}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (None, r"not the backbone .* 0 tensors fit model\.layers\.1\.attn\.q \(6 × 4\)"),
        (random(6, 5), "0 tensors fit"),
        (random(6, 4).to(torch.int8), "stored as int8, to which nothing can be added"),
        (random(6, 4).double(), "stored as float64"),
    ],
)
def test_checkpoints_of_something_else(change: Tensor | None, sentence: str, tmp_path: Path) -> None:
    held = {name: tensor for name, tensor in tensors().items() if name != "model.layers.1.attn.q.weight"}
    held |= {} if change is None else {"model.layers.1.attn.q.weight": change}
    with pytest.raises(LingarithError, match=sentence):
        write_merged(composition(), a_base(tmp_path / "base", held), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_two_candidates_or_one_for_two(tmp_path: Path) -> None:
    held = tensors(names={f"{path}.weight": f"text.{path}.weight" for path in SIZES})
    twice = held | {f"other.{path}.weight": random(*size) for path, size in SIZES.items()}
    with pytest.raises(LingarithError, match="2 tensors fit"):
        write_merged(composition(), a_base(tmp_path / "twice", twice), tmp_path / "merged")
    vector = Vector("a", {p: (LoraTerm(torch.ones(1, 4), torch.ones(6, 1)),) for p in ("x.h.0.q", "y.h.0.q")}, 1.0)
    shared = [
        TensorFile(a_base(tmp_path / "once", {"h.0.q.weight": random(6, 4)}) / "model-00001-of-00002.safetensors")
    ]
    with pytest.raises(LingarithError, match="one tensor for several projections"):
        weights(vector.terms, shared)


def test_bases_that_cannot_be_read(tmp_path: Path) -> None:
    def refused(base: Path, sentence: str) -> None:
        with pytest.raises(LingarithError, match=sentence):
            write_merged(composition(), base, tmp_path / "merged")
        assert not (tmp_path / "merged").exists()

    refused(tmp_path / "none", r"config\.json does not exist; give the folder")
    refused(a_base(tmp_path / "packed", config={"quantization_config": {"bits": 4}}), "is quantised")
    base = a_base(tmp_path / "base")
    index = base / "model.safetensors.index.json"
    for names, sentence in [
        ("../base/model-00001-of-00002.safetensors", "not the files beside it"),
        ("pytorch_model.bin", "not the files beside it"),
        ("gone.safetensors", r"gone\.safetensors does not exist"),
    ]:
        index.write_text(json.dumps({"weight_map": {"x": names}}))
        refused(base, sentence)
    index.write_text("{}")
    refused(base, "names no file")
    index.unlink()
    refused(base, r"has no model\.safetensors and no .* a pickle can run code")
    (base / "model.safetensors").write_bytes((base / "model-00001-of-00002.safetensors").read_bytes()[:-1])
    refused(base, r"model\.safetensors is damaged")


def test_one_file_as_well_as_shards(tmp_path: Path) -> None:
    base = a_base(tmp_path / "base")
    (base / "model.safetensors.index.json").unlink()
    write_safetensors(base / "model.safetensors", tensors())
    write_merged(composition(), base, tmp_path / "merged")
    assert [path.name for path in (tmp_path / "merged").glob("*.safetensors")] == ["model.safetensors"]
    assert everything(tmp_path / "merged").keys() == tensors().keys()


def test_what_is_replaced_and_what_is_not(tmp_path: Path) -> None:
    base, single = a_base(tmp_path / "base"), a_base(tmp_path / "single")
    (single / "model.safetensors.index.json").unlink()
    write_safetensors(single / "model.safetensors", tensors())
    merged = tmp_path / "merged"
    write_merged(composition(), base, merged)
    write_merged(composition(), single, merged)  # what the first call wrote is ours too
    assert not (merged / "model-00001-of-00002.safetensors").exists()
    (merged / "notes.md").write_text("mine")
    with pytest.raises(LingarithError, match=r"holds notes\.md"):
        write_merged(composition(), base, merged)
    with pytest.raises(LingarithError, match="was not written here"):
        write_merged(composition(), base, base)
    (merged / "notes.md").unlink()
    with pytest.raises(LingarithError, match="is the backbone itself"):
        write_merged(composition(), merged, merged)


def test_a_type_that_overflows(tmp_path: Path) -> None:
    base = a_base(tmp_path / "base", tensors(torch.float16))
    with pytest.raises(LingarithError, match="holds NaN or Inf"):
        write_merged(composition(size=1e6), base, tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


def test_where_a_backbone_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    assert (checkpoint("newsroom") / "config.json").is_file()
    assert checkpoint(str(tmp_path)) == tmp_path
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (tmp_path / "models--someone--tiny" / "refs").mkdir()
    (tmp_path / "models--someone--tiny" / "refs" / "main").write_text("a" * 40)
    assert checkpoint("someone/tiny") == checkpoint("someone/tiny", "a" * 40) == snapshot
    for name, revision in [("someone/other", None), ("someone/tiny", "b" * 40), ("no such/na/me", None)]:
        with pytest.raises(LingarithError, match="the hub's cache does not hold it"):
            checkpoint(name, revision)

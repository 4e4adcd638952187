"""Adapters from elsewhere: what is known of their backbone, and what they become on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import Lora
from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.formats.imported import backbone_of, on_backbone, open_adapter, shapes
from lingarith.formats.lokr import write_lokr
from lingarith.formats.peft import write_peft
from lingarith.store.store import Store
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.vector import Vector

SIZES = {"layers.0.q": (16, 8), "layers.0.k": (8, 8), "layers.0.v": (8, 8), "layers.0.o": (8, 16)}
LORA = Lora(2)
FACTS = {"name": "tiny", "revision": None, "fingerprint": "f" * 64, "parameters": 9}


def a_vector(
    called: str, sizes: Mapping[str, tuple[int, int]] = SIZES, adapter: Lora | Kronecker = LORA, **facts: Any
) -> Vector:
    generator = torch.Generator().manual_seed(1)
    terms = {
        path: (type(start)(*(torch.randn(factor.shape, generator=generator) for factor in start)),)
        for path, start in adapter.init(sizes, 0).items()
    }
    return Vector(called, terms, 1.0, {"kind": "language", "backbone": FACTS | facts})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with news[pt]."""
    shelf = Store(tmp_path / "store")
    shelf.put(a_vector("news[pt]"))
    return shelf


@pytest.fixture
def peft_folder(tmp_path: Path) -> Path:
    """What PEFT saves after training q and v, its usual setting, with numbers in both factors."""
    from peft import LoraConfig, get_peft_model

    class Tiny(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.name_or_path = "someone/tiny"
            one = {path.rpartition(".")[2]: torch.nn.Linear(inner, out) for path, (out, inner) in SIZES.items()}
            self.layers = torch.nn.ModuleList([torch.nn.ModuleDict(one)])

    config = LoraConfig(r=3, lora_alpha=6, target_modules=["q", "v"], init_lora_weights=False)
    get_peft_model(Tiny(), config).save_pretrained(tmp_path / "peft", save_embedding_layers=False)
    return tmp_path / "peft"


def test_a_vector_of_peft_joins_an_expression(peft_folder: Path, store: Store) -> None:
    vector = open_adapter(peft_folder, "task[en]")
    assert (vector.scale, vector.adapter) == (2.0, "LoRA, rank 3")
    facts, projections, reason = backbone_of(vector, store)
    assert (facts, reason) == (FACTS, "the only one in the store that it fits")
    store.put(on_backbone(vector, facts, projections))
    found = {name: store.get(name) for name in ("task[en]", "news[pt]")}
    origin = found["task[en]"].origin
    assert (origin["kind"], origin["base"], origin["backbone"]) == ("imported", "someone/tiny", FACTS)
    assert not {"init_hash", "renamed"} & origin.keys()
    assert found["task[en]"].terms.keys() == {"layers.0.q", "layers.0.v"}
    update = realise(parse("2*task[en] - news[pt]"), found, "delta")
    for path in SIZES:
        (news,) = found["news[pt]"].terms[path]
        task = 2.0 * vector.terms[path][0].delta() if path in vector.terms else torch.zeros(SIZES[path])
        torch.testing.assert_close(update.delta(path), 2 * task - news.delta())
    with pytest.raises(LingarithError, match='task\\[en\\] does not say what it started from; use space="delta"'):
        realise(parse("0.5*task[en] + 0.5*task2"), found | {"task2": found["task[en]"]}, "factors")


def test_a_lokr_folder_becomes_kronecker_terms(store: Store, tmp_path: Path) -> None:
    some = {path: size for path, size in SIZES.items() if path != "layers.0.o"}
    made = Composition(parse("k"), {"k": a_vector("k", some, Kronecker(4, 4))}, Space("delta"))
    write_lokr(made, tmp_path / "lokr", base_model="tiny", task_type="CAUSAL_LM")
    vector = open_adapter(tmp_path / "lokr", "task[en]")
    facts, projections, _ = backbone_of(vector, store)
    store.put(on_backbone(vector, facts, projections))
    back = store.get("task[en]")
    assert back.terms.keys() == some.keys()
    assert all(torch.equal(back.terms[path][0].delta(), made.at(path)[0].delta()) for path in some)
    realise(parse("task[en] + news[pt]"), {"task[en]": back, "news[pt]": store.get("news[pt]")}, "delta")


def test_a_folder_of_lingarith_says_its_backbone(store: Store, tmp_path: Path) -> None:
    made = Composition(parse("0.5*a"), {"a": a_vector("a")}, Space("delta", rank=1))
    origin = made.vector("0.5*a", {"a": "3f"}).origin
    write_peft(made, tmp_path / "x", base_model="tiny", task_type="CAUSAL_LM", origin=origin)
    vector = open_adapter(tmp_path / "x", "task[en]")
    assert backbone_of(vector, Store(tmp_path / "no store")) == (FACTS, SIZES, "as its folder says")
    composed = vector.origin["composed"]
    assert (composed["expression"], composed["space"], composed["parents"]) == ("0.5*a", "delta, rank 1", {"a": "3f"})
    assert composed["error"] == realise(made.combination, made.vectors, made.space).error
    assert store.put(on_backbone(vector, FACTS, SIZES)) in {entry.hash for entry in store.entries()}
    with pytest.raises(LingarithError, match=r"made for backbone tiny \(ffffffff…\), not for other \(00000000…\)"):
        on_backbone(vector, FACTS | {"name": "other", "fingerprint": "0" * 64}, SIZES)
    trimmed = FACTS | {"name": "less", "fingerprint": "0" * 64, "trimmed": {"fingerprint": FACTS["fingerprint"]}}
    moved = on_backbone(vector, trimmed, SIZES)
    assert moved.origin["backbone"] == trimmed
    assert on_backbone(moved, FACTS, SIZES).origin["backbone"] == FACTS
    assert on_backbone(moved, trimmed | {"fingerprint": "1" * 64}, SIZES).origin["base"] == "less"


@pytest.mark.parametrize("told", [None, [], {"name": "tiny"}, {"name": 3, "fingerprint": "f"}])
def test_a_folder_that_says_no_backbone_after_all(told: object, peft_folder: Path, store: Store) -> None:
    (peft_folder / "lingarith.json").write_text(json.dumps({"backbone": told}))
    assert backbone_of(open_adapter(peft_folder, "task[en]"), store)[2] == "the only one in the store that it fits"


def test_which_backbone(peft_folder: Path, store: Store, tmp_path: Path) -> None:
    vector = open_adapter(peft_folder, "task[en]")
    with pytest.raises(LingarithError, match=r"no fingerprint, and 0 backbones in .* say which by --like VECTOR"):
        backbone_of(vector, Store(tmp_path / "no store"))
    store.put(a_vector("news[en]", dict.fromkeys(SIZES, (8, 8)), name="small", fingerprint="1" * 64))
    assert backbone_of(vector, store)[0] == FACTS  # the other one does not fit
    store.put(a_vector("news[yo]", name="twin", fingerprint="2" * 64))
    with pytest.raises(LingarithError, match="and 2 backbones in"):
        backbone_of(vector, store)
    facts, projections, reason = backbone_of(vector, store, like="news[yo]")
    assert (facts["name"], projections, reason) == ("twin", shapes(a_vector("x")), "that of news[yo]")
    with pytest.raises(LingarithError, match=r"no vector named 'news\[yoo\]'.*did you mean news\[yo\]"):
        backbone_of(vector, store, like="news[yoo]")


def test_a_snapshot_of_the_hub(peft_folder: Path, store: Store, tmp_path: Path) -> None:
    blobs, there = tmp_path / "models--x" / "blobs", tmp_path / "models--x" / "snapshots" / "3f2a"
    blobs.mkdir(parents=True)
    there.mkdir(parents=True)
    for number, file in enumerate(peft_folder.iterdir()):
        file.rename(blobs / f"{number:064x}")
        (there / file.name).symlink_to(f"../../blobs/{number:064x}")
    vector = open_adapter(there, "task[en]")
    facts, projections, _ = backbone_of(vector, store)
    assert store.get(store.put(on_backbone(vector, facts, projections))).adapter == "LoRA, rank 3"


def test_what_does_not_fit(peft_folder: Path) -> None:
    vector = open_adapter(peft_folder, "task[en]")
    other = {path: size for path, size in SIZES.items() if path != "layers.0.v"}
    with pytest.raises(LingarithError, match=r"does not fit tiny: layers\.0\.v is none of its linear layers that"):
        on_backbone(vector, FACTS, other)
    with pytest.raises(LingarithError, match=r"layers\.0\.v is 8 × 8 in the adapter and 4 × 8 there"):
        on_backbone(vector, FACTS, SIZES | {"layers.0.v": (4, 8)})


def test_folders_that_are_no_adapter(peft_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match=r"adapter_config\.json does not exist; name a folder that PEFT"):
        open_adapter(tmp_path, "x")
    config = json.loads((peft_folder / "adapter_config.json").read_text())
    for kind, sentence in [("IA3", "type 'IA3' cannot be read; PEFT's LORA and LOKR can"), (None, "says no peft_type")]:
        (peft_folder / "adapter_config.json").write_text(json.dumps(config | {"peft_type": kind}))
        with pytest.raises(LingarithError, match=sentence):
            open_adapter(peft_folder, "x")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"fine_tune_type": "dora", "num_layers": 4, "lora_parameters": {"rank": 8}},
            r"of MLX \(fine_tune_type 'dora'",
        ),
        ({"lora_layers": 4, "lora_parameters": {"rank": 8, "scale": 20.0}}, "of MLX .* PEFT's LORA and LOKR can"),
        ({"config": {"architecture": "lora", "r": 8}, "model_type": "bert"}, r"of AdapterHub \(architecture 'lora'"),
    ],
)
def test_adapters_of_other_programs_are_named(config: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(LingarithError, match=sentence):
        open_adapter(tmp_path, "x")


def test_gguf_is_named(peft_folder: Path, tmp_path: Path) -> None:
    for place in ("adapter.gguf", "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / "model.gguf").write_bytes(b"GGUF")
        with pytest.raises(LingarithError, match=f"{place} is GGUF, which is not read; give the folder in safetensors"):
            open_adapter(tmp_path / place, "x")
    (peft_folder / "model.gguf").write_bytes(b"GGUF")
    open_adapter(peft_folder, "x")  # beside what is read

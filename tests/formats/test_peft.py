"""PEFT's LoRA folders in and out; PEFT itself is the oracle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from lingarith.adapters.kronecker import KroneckerTerm
from lingarith.adapters.lora import LoraTerm
from lingarith.adapters.terms import Term
from lingarith.algebra import Combination, parse
from lingarith.errors import LingarithError
from lingarith.formats.folders import TaskType
from lingarith.formats.peft import open_peft, write_peft
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.vector import Update, Vector

# PEFT 0.21 reads an attribute that transformers 5 has renamed; neither is ours.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

IDS = torch.tensor([[3, 5, 7, 9, 11]])
BACKBONE = {"name": "tiny", "fingerprint": "f" * 64, "revision": "abc"}


def vector(name: str, terms: Mapping[str, tuple[Term, ...]], scale: float = 1.0) -> Vector:
    return Vector(name, terms, scale, {"backbone": BACKBONE})


SMALL = {"x": vector("x", {"layer.q": (LoraTerm(torch.ones(2, 3), torch.ones(4, 2)),)})}


def write(folder: Path, vectors: Mapping[str, Vector] = SMALL, **options: Any) -> None:
    composition = Composition(parse(" + ".join(vectors)), vectors, Space("delta"))
    write_peft(composition, folder, base_model="tiny", task_type="CAUSAL_LM", **options)


def tiny_t5() -> torch.nn.Module:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    config = T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, decoder_start_token_id=0)
    return T5ForConditionalGeneration(config).eval()


def tiny_llama() -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    return LlamaForCausalLM(config).eval()


BACKBONES = [(tiny_t5, "SEQ_2_SEQ_LM", {"q", "k", "v", "o"}), (tiny_llama, "CAUSAL_LM", {"q_proj", "o_proj"})]


def logits(model: Any, task_type: str) -> torch.Tensor:
    with torch.no_grad():
        inputs = {"input_ids": IDS} | ({"labels": IDS} if task_type == "SEQ_2_SEQ_LM" else {})
        return torch.as_tensor(model(**inputs).logits)


@pytest.mark.parametrize(("make", "task_type", "leaves"), BACKBONES)
@pytest.mark.parametrize("least_rank", [1, 8])
def test_peft_computes_the_same_logits(
    make: Any, task_type: TaskType, leaves: set[str], least_rank: int, tmp_path: Path
) -> None:
    from peft import PeftModel

    base, generator = make(), torch.Generator().manual_seed(1)
    chosen = {path: module for path, module in base.named_modules() if path.rpartition(".")[2] in leaves}

    def random(name: str, rank: int) -> Vector:
        terms: dict[str, tuple[Term, ...]] = {}
        for path, module in chosen.items():
            a = torch.randn(rank, module.in_features, generator=generator)
            terms[path] = (LoraTerm(a, torch.randn(module.out_features, rank, generator=generator) / 10),)
        return vector(name, terms, scale=0.5)

    vectors, combination = {"x": random("x", 1), "y": random("y", 2)}, parse("2*x - y")
    update = realise(combination, vectors, "delta")
    dense = make()
    with torch.no_grad():
        for path in update.terms:
            dense.get_submodule(path).weight += update.delta(path)
    composition = Composition(combination, vectors, Space("delta"))
    write_peft(composition, tmp_path / "x", base_model="tiny", task_type=task_type, least_rank=least_rank)
    adapted = PeftModel.from_pretrained(base, tmp_path / "x")
    torch.testing.assert_close(logits(adapted, task_type), logits(dense, task_type), rtol=0, atol=1e-5)
    assert not torch.allclose(logits(dense, task_type), logits(make(), task_type), atol=1e-2)
    found = {path for path, module in adapted.base_model.model.named_modules() if hasattr(module, "lora_A")}
    assert found == set(update.terms)
    back = open_peft(tmp_path / "x", "back")
    assert {term.a.shape[0] for (term,) in back.terms.values()} == {max(least_rank, 3)}
    for path in update.terms:
        torch.testing.assert_close(Update(back.terms, "").delta(path), update.delta(path))


def saved_by_peft(folder: Path, seed: int, **options: Any) -> Any:
    """The model whose adapter PEFT saved into the folder."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    settings: dict[str, Any] = {"target_modules": ["q_proj", "o_proj"], "init_lora_weights": False, **options}
    model = get_peft_model(tiny_llama(), LoraConfig(**settings))
    model.save_pretrained(folder, save_embedding_layers=False)
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rslora", [False, True])
def test_adapter_that_peft_saved(rslora: bool, dtype: torch.dtype, tmp_path: Path) -> None:
    model = saved_by_peft(tmp_path, 0, r=4, lora_alpha=6, use_rslora=rslora)
    weights = tmp_path / "adapter_model.safetensors"
    tensors = {name: tensor.to(dtype) for name, tensor in safetensors.torch.load_file(weights).items()}
    safetensors.torch.save_file(tensors, weights)
    vector = open_peft(tmp_path, "task[en]")
    assert vector.name == "task[en]"
    assert vector.origin["adapter"] == {"kind": "lora", "rank": 4, "alpha": 6}
    modules = {path: module for path, module in model.base_model.model.named_modules() if hasattr(module, "lora_A")}
    assert vector.terms.keys() == modules.keys()
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 2e-2}[dtype]
    for path, module in modules.items():
        (term,) = vector.scaled(path)
        torch.testing.assert_close(term.delta(), module.get_delta_weight("default"), rtol=0, atol=tolerance)
        assert term.a.dtype == torch.float32


@pytest.mark.parametrize(
    ("kind", "space", "tolerance"),
    [
        ("cat", Space("delta"), 1e-6),
        ("linear", Space("peft-linear"), 1e-6),
        ("svd", Space("delta", 2), 1e-5),
        ("svd", Space("delta", 5), 1e-5),
    ],
)
def test_files_composed_as_peft_composes_them(kind: str, space: Space, tolerance: float, tmp_path: Path) -> None:
    from peft import PeftModel

    names, weights = ["x", "y", "z"], [0.6, 0.4, -0.4]
    for number, name in enumerate(names):
        saved_by_peft(tmp_path / name, number, r=2, lora_alpha=number + 1)
    model = PeftModel.from_pretrained(tiny_llama(), tmp_path / "x", adapter_name="x")
    for name in names[1:]:
        model.load_adapter(tmp_path / name, adapter_name=name)
    cut = {"svd_rank": space.rank} if kind == "svd" else {}
    model.add_weighted_adapter(names, weights, "mixed", combination_type=kind, **cut)
    vectors = {name: open_peft(tmp_path / name, name) for name in names}
    composition = Composition(Combination(tuple(zip(names, weights, strict=True))), vectors, space)
    write_peft(composition, tmp_path / "mixed", base_model="tiny", task_type="CAUSAL_LM")
    ours = Update(open_peft(tmp_path / "mixed", "mixed").terms, "")
    modules = {path: module for path, module in model.base_model.model.named_modules() if hasattr(module, "lora_A")}
    assert ours.terms.keys() == modules.keys()
    for path, module in modules.items():
        theirs = module.get_delta_weight("mixed")
        torch.testing.assert_close(ours.delta(path), theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))


def test_one_module_of_many_is_adapted_alone(tmp_path: Path) -> None:
    from peft import PeftModel

    class Wrapped(torch.nn.Module):
        """Two towers whose paths end alike."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.ModuleDict({"q": torch.nn.Linear(3, 4)})
            self.vision = torch.nn.ModuleDict({"layer": torch.nn.ModuleDict({"q": torch.nn.Linear(3, 4)})})
            self.layer_q = torch.nn.Linear(3, 4)

    write(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config | {"task_type": None}))
    adapted = PeftModel.from_pretrained(Wrapped(), tmp_path / "adapter")
    assert [path for path, module in adapted.base_model.model.named_modules() if hasattr(module, "lora_A")] == [
        "layer.q"
    ]


def test_files(tmp_path: Path) -> None:
    origin = {"expression": "0.6*a", "parents": {"a": "3f"}, "backbone": {"name": "tiny", "revision": "abc"}}
    write(tmp_path / "x", origin=origin)
    files = {path.name for path in (tmp_path / "x").iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors", "lingarith.json", "README.md"}
    about = json.loads((tmp_path / "x" / "lingarith.json").read_text())
    said = {"schema": 1, "space": "delta", "error": 0.0, "made_from": {"x": {}}, "base_model": "tiny"}
    assert about == origin | said
    config = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["revision"]) == (2, 2, "abc")
    assert config["target_modules"] == r"layer\.q"


def test_bytes_do_not_depend_on_where_the_vectors_come_from(tmp_path: Path) -> None:
    """Read from a store, projections come sorted; trained a moment ago, in the model's order."""
    other_way = {name: replace(one, terms=dict(reversed(one.terms.items()))) for name, one in SMALL.items()}
    write(tmp_path / "one")
    write(tmp_path / "other", other_way)
    one, other = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("one", "other"))
    assert one == other


def test_the_error_of_a_cut_is_told(tmp_path: Path) -> None:
    # Two orthogonal products of norms 3 and 4: the smaller one is cut, and 3/5 is lost.
    terms = (LoraTerm(torch.eye(2, 3), torch.tensor([[4.0, 0], [0, 3], [0, 0], [0, 0]])),)
    composition = Composition(parse("x"), {"x": vector("x", {"layer.q": terms})}, Space("delta", 1))
    write_peft(composition, tmp_path / "x", base_model="tiny", task_type="CAUSAL_LM")
    about = json.loads((tmp_path / "x" / "lingarith.json").read_text())
    assert (about["space"], about["error"]) == ("delta, rank 1", pytest.approx(0.6))


def test_our_own_folder_is_replaced_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "ours", "ours"):
        write(tmp_path / name)
    # A sum may be written over an adapter that it was made of, since that stays until the new one is whole.
    old = replace(open_peft(tmp_path / "ours", "old"), origin=SMALL["x"].origin)
    write(tmp_path / "ours", {"old": old, "x": SMALL["x"]})
    assert torch.equal(Update(open_peft(tmp_path / "ours", "new").terms, "").delta("layer.q"), 4 * torch.ones(4, 3))
    (tmp_path / "ours" / "README.md").write_text("mine")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "adapter_config.json").write_text("{}")
    (tmp_path / "file").write_text("x")
    for name, sentence in [("ours", "holds README.md"), ("theirs", "holds adapter_config.json"), ("file", "is a file")]:
        before = (tmp_path / name).stat().st_ino
        with pytest.raises(LingarithError, match=sentence):
            write(tmp_path / name)
        assert (tmp_path / name).stat().st_ino == before


def test_sums_that_cannot_be_written(tmp_path: Path) -> None:
    infinite = vector("x", {"q": (LoraTerm(torch.full((1, 2), math.inf), torch.ones(2, 1)),)})
    with pytest.raises(LingarithError, match=r"at q it holds NaN"):
        write(tmp_path / "x", {"x": infinite})
    product = vector("x", {"q": (KroneckerTerm(torch.ones(1, 2, 3), torch.ones(1, 2, 1)),)})
    with pytest.raises(LingarithError, match=r"Kronecker 3 × 2 at q is no LoRA, .*cut the sum to a rank .*--rank-out"):
        write(tmp_path / "x", {"x": product})
    assert list(tmp_path.iterdir()) == []
    composition = Composition(parse("x"), {"x": product}, Space("delta", 1))
    write_peft(composition, tmp_path / "x", base_model="tiny", task_type="CAUSAL_LM")
    torch.testing.assert_close(Update(open_peft(tmp_path / "x", "x").terms, "").delta("q"), torch.ones(4, 3))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"peft_type": "LOKR"}, "type 'LOKR' cannot be read"),
        ({"use_dora": True}, "use_dora cannot be read, since DoRA"),
        ({"bias": "all"}, "bias='all' cannot be read"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save cannot be read"),
        ({"rank_pattern": {"q": 8}}, "'layer.q' has no pair of factors of rank 8"),
        ({"rank_pattern": {"q": 0}}, "r=0"),
        ({"alpha_pattern": {"q": "x"}}, "lora_alpha='x'"),
        ({"alpha_pattern": {"(": 2}}, "alpha_pattern must map patterns of modules to numbers"),
        ({"rank_pattern": ["q"]}, "rank_pattern must map patterns of modules to numbers"),
        ({"init_lora_weights": "pissa"}, "starts from 'pissa'"),
        ({"r": 0}, "r=0"),
        ({"r": True}, "r=True"),
        ({"lora_alpha": "x"}, "lora_alpha='x'"),
        ({"lora_alpha": math.nan}, "NaN is no finite number"),
        ({"lora_alpha": None}, "lora_alpha=None"),
        ({"target_parameters": ["experts.gate_up_proj"]}, "target_parameters cannot be read"),
        ({"r": 3}, "no pair of factors of rank 3"),
    ],
)
def test_adapters_that_are_more_than_lora(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    write(tmp_path / "x")
    path = tmp_path / "x" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LingarithError, match=sentence):
        open_peft(tmp_path / "x", "x")


A, B = "base_model.model.q.lora_A.weight", "base_model.model.q.lora_B.weight"


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({}, "no projection"),
        ({A: torch.ones(2, 3)}, "'q' has no pair of factors of rank 2"),
        ({B: torch.ones(2, 2)}, "'q' has no pair of factors of rank 2"),
        ({A: torch.ones(0), B: torch.ones(0)}, "'q' has no pair of factors of rank 2"),  # as ZeRO-3 saves them
        ({"base_model.model.embed_tokens.weight": torch.ones(8, 3)}, "embed_tokens.weight' is no LoRA factor"),
        ({A: torch.ones(2, 3), B: torch.ones(4)}, "'q' has no pair of factors of rank 2"),
        ({A: torch.ones(2, 3), B: torch.ones(4, 3)}, "'q' has no pair of factors of rank 2"),
        ({A: torch.ones(2, 3).to(torch.int8), B: torch.ones(4, 2)}, "'q' has no pair of factors of rank 2"),
        ({"base_model.model.q.lora_embedding_A": torch.ones(2, 3)}, "lora_embedding_A' is no LoRA factor"),
        ({"base_model.model.q.lora_magnitude_vector": torch.ones(2)}, "only plain LoRA is read"),
    ],
)
def test_tensors_that_are_no_factors(tensors: dict[str, torch.Tensor], sentence: str, tmp_path: Path) -> None:
    write(tmp_path / "x")
    safetensors.torch.save_file(tensors, tmp_path / "x" / "adapter_model.safetensors")
    with pytest.raises(LingarithError, match=sentence):
        open_peft(tmp_path / "x", "x")


def test_damaged_adapter(tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match=r"adapter_config\.json does not exist; name a folder"):
        open_peft(tmp_path, "x")
    write(tmp_path / "x")
    weights = tmp_path / "x" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(LingarithError, match=r"adapter_model\.safetensors is damaged"):
        open_peft(tmp_path / "x", "x")
    weights.rename(weights.with_name("adapter_model.bin"))
    with pytest.raises(LingarithError, match="holds a pickle"):
        open_peft(tmp_path / "x", "x")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_links_that_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    write(tmp_path / "x")
    (tmp_path / "x" / name).rename(tmp_path / "outside")
    (tmp_path / "x" / name).symlink_to("../outside")
    with pytest.raises(LingarithError, match=rf"{name} leads out of .*x; put the file itself there"):
        open_peft(tmp_path / "x", "x")

"""PEFT adapters in and out; PEFT itself is the oracle."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.errors import LingarithError
from lingarith.vectors.formats import TaskType, read_peft, write_peft
from lingarith.vectors.vector import LoraTerm, Update

# PEFT 0.21 reads an attribute that transformers 5 has renamed; neither is ours.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

IDS = torch.tensor([[3, 5, 7, 9, 11]])
SMALL = Update({"layer.q": (LoraTerm(torch.ones(2, 3), torch.ones(4, 2)),)}, "factors", 0.25)


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


def random_update(model: torch.nn.Module, leaves: set[str]) -> Update:
    """Terms of rank 1 and 2 on every module of these names, and one of rank 4 on the first."""
    generator = torch.Generator().manual_seed(1)

    def term(module: Any, rank: int) -> LoraTerm:
        a = torch.randn(rank, module.in_features, generator=generator)
        return LoraTerm(a, torch.randn(module.out_features, rank, generator=generator) / 10)

    chosen = {path: module for path, module in model.named_modules() if path.rpartition(".")[2] in leaves}
    terms = {path: (term(module, 1), term(module, 2)) for path, module in chosen.items()}
    first = next(iter(chosen))
    return Update(terms | {first: (term(chosen[first], 4),)}, "delta")


@pytest.mark.parametrize(("make", "task_type", "leaves"), BACKBONES)
def test_peft_computes_the_same_logits(make: Any, task_type: TaskType, leaves: set[str], tmp_path: Path) -> None:
    from peft import PeftModel

    base = make()
    update = random_update(base, leaves)
    dense = make()
    with torch.no_grad():
        for path in update.terms:
            dense.get_submodule(path).weight += update.delta(path)
    write_peft(update, tmp_path / "adapter", base_model="tiny", task_type=task_type)
    adapted = PeftModel.from_pretrained(base, tmp_path / "adapter")
    torch.testing.assert_close(logits(adapted, task_type), logits(dense, task_type), rtol=0, atol=1e-5)
    assert not torch.allclose(logits(dense, task_type), logits(make(), task_type), atol=1e-2)
    found = {path for path, module in adapted.base_model.model.named_modules() if hasattr(module, "lora_A")}
    assert found == set(update.terms)
    back = read_peft(tmp_path / "adapter")
    assert {term.a.shape[0] for (term,) in back.terms.values()} == {4}
    for path in update.terms:
        torch.testing.assert_close(back.delta(path), update.delta(path))


def test_one_module_of_many_is_adapted_alone(tmp_path: Path) -> None:
    from peft import PeftModel

    class Wrapped(torch.nn.Module):
        """Two towers whose paths end alike."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.ModuleDict({"q": torch.nn.Linear(3, 4)})
            self.vision = torch.nn.ModuleDict({"layer": torch.nn.ModuleDict({"q": torch.nn.Linear(3, 4)})})
            self.layer_q = torch.nn.Linear(3, 4)

    write_peft(SMALL, tmp_path / "adapter", base_model="tiny", task_type="CAUSAL_LM")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config | {"task_type": None}))
    adapted = PeftModel.from_pretrained(Wrapped(), tmp_path / "adapter")
    assert [path for path, module in adapted.base_model.model.named_modules() if hasattr(module, "lora_A")] == [
        "layer.q"
    ]


@pytest.mark.parametrize("rslora", [False, True])
def test_adapter_that_peft_saved(rslora: bool, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, lora_alpha=6, use_rslora=rslora, target_modules=["q_proj"], init_lora_weights=False)
    model = get_peft_model(tiny_llama(), config)
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    update = read_peft(tmp_path)
    modules = {path: module for path, module in model.base_model.model.named_modules() if hasattr(module, "lora_A")}
    assert update.terms.keys() == modules.keys()
    for path, module in modules.items():
        torch.testing.assert_close(update.delta(path), module.get_delta_weight("default"))


def test_files(tmp_path: Path) -> None:
    origin = {"expression": "0.6*a", "parents": {"a": "3f"}, "backbone": {"name": "tiny", "revision": "abc"}}
    write_peft(SMALL, tmp_path / "x", base_model="tiny", task_type="CAUSAL_LM", origin=origin)
    files = {path.name for path in (tmp_path / "x").iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors", "lingarith.json"}
    about = json.loads((tmp_path / "x" / "lingarith.json").read_text())
    assert about == origin | {"schema": 1, "space": "factors", "error": 0.25}
    config = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["revision"]) == (2, 2, "abc")
    assert config["target_modules"] == r"layer\.q"


def test_our_own_folder_is_replaced_and_no_other(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        write_peft(SMALL, folder, base_model="tiny", task_type="CAUSAL_LM")

    (tmp_path / "empty").mkdir()
    for name in ("empty", "ours", "ours"):
        write(tmp_path / name)
    (tmp_path / "ours" / "README.md").write_text("mine")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "adapter_config.json").write_text("{}")
    (tmp_path / "file").write_text("x")
    for name, sentence in [("ours", "holds README.md"), ("theirs", "holds adapter_config.json"), ("file", "is a file")]:
        before = (tmp_path / name).stat().st_ino
        with pytest.raises(LingarithError, match=sentence):
            write(tmp_path / name)
        assert (tmp_path / name).stat().st_ino == before


def test_updates_that_cannot_be_written(tmp_path: Path) -> None:
    infinite = Update({"q": (LoraTerm(torch.full((1, 2), math.inf), torch.ones(2, 1)),)}, "delta")
    for update, sentence in [
        (Update({}, "delta"), "the update has no projection"),
        (Update({"q": ()}, "delta"), "nothing to write for q"),
        (infinite, r"q\.lora_A\.weight' holds NaN or Inf"),
    ]:
        with pytest.raises(LingarithError, match=sentence):
            write_peft(update, tmp_path / "x", base_model="tiny", task_type="CAUSAL_LM")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"peft_type": "LOKR"}, "type 'LOKR' cannot be read"),
        ({"use_dora": True}, "use_dora cannot be read, since DoRA"),
        ({"bias": "all"}, "bias='all' cannot be read"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save cannot be read"),
        ({"rank_pattern": {"q": 8}}, "rank_pattern cannot be read"),
        ({"init_lora_weights": "pissa"}, "starts from 'pissa'"),
        ({"r": 0}, "r=0"),
        ({"lora_alpha": "x"}, "lora_alpha='x'"),
        ({"r": 3}, "no pair of factors of rank 3"),
    ],
)
def test_adapters_that_are_more_than_lora(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    write_peft(SMALL, tmp_path / "x", base_model="tiny", task_type="CAUSAL_LM")
    path = tmp_path / "x" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LingarithError, match=sentence):
        read_peft(tmp_path / "x")


def test_damaged_adapter(tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match=r"adapter_config\.json does not exist; name a folder"):
        read_peft(tmp_path)
    write_peft(SMALL, tmp_path / "x", base_model="tiny", task_type="CAUSAL_LM")
    weights = tmp_path / "x" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(LingarithError, match=r"adapter_model\.safetensors is damaged"):
        read_peft(tmp_path / "x")
    weights.rename(weights.with_name("adapter_model.bin"))
    with pytest.raises(LingarithError, match="holds a pickle"):
        read_peft(tmp_path / "x")

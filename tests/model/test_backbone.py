"""The frozen model: what is put on it and taken off again, what it is called, how it is loaded."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.utils import logging

from lingarith.adapters import lora
from lingarith.disk.tensors import read_safetensors
from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone, Skeleton
from lingarith.model.fingerprint import configuration, fingerprint, identity_in
from lingarith.model.loading import load, wrap
from lingarith.vectors.vector import Update

FAMILIES = ["t5", "umt5", "llama", "qwen3", "gemma3", "bloom", "xglm"]
Make = Callable[..., Any]


def logits(model: nn.Module) -> Tensor:
    ids = torch.tensor([[3, 10, 11, 12], [3, 20, 21, 22]])
    read = {"decoder_input_ids": ids[:, :3]} if model.config.is_encoder_decoder else {}  # type: ignore[union-attr]
    with torch.no_grad():
        result: Tensor = model(input_ids=ids, **read).logits
    return result


def bits(model: nn.Module) -> dict[str, tuple[int, Tensor]]:
    return {name: (t.data_ptr(), t.clone()) for name, t in model.state_dict().items()}


def unchanged(model: nn.Module, before: dict[str, tuple[int, Tensor]]) -> bool:
    after = model.state_dict()
    same = all(after[n].data_ptr() == place and torch.equal(after[n], t) for n, (place, t) in before.items())
    return same and not any(module._forward_hooks for module in model.modules())


def dense(on: Backbone, update: Update) -> Tensor:
    """The logits of the whole model in float64 with each ΔW added to its weight."""
    model = copy.deepcopy(on.model)
    if on.name != "xglm":  # which cannot compute in float64
        model.double()
    for path in on.projections:
        weight = model.get_submodule(path).weight
        weight.data += torch.stack([term.b.double() @ term.a.double() for term in update.terms[path]]).sum(0)
    return logits(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_using_is_the_dense_update_and_leaves_no_trace(family: str, backbone: Make, update: Make) -> None:
    on = backbone(family)
    bare, before, more = logits(on.model), bits(on.model), update(on)
    right = dense(on, more)
    with on.using(more):
        with_update = logits(on.model)
    assert (with_update - right).abs().max() < 1e-5 * right.abs().max()
    assert (with_update - bare).abs().max() > 1e-2 * bare.abs().max()
    assert unchanged(on.model, before)
    assert torch.equal(logits(on.model), bare)


def test_using_restores_after_an_exception(backbone: Make, update: Make) -> None:
    on = backbone("llama")
    before = bits(on.model)
    with pytest.raises(RuntimeError, match="in the middle"), on.using(update(on)):
        raise RuntimeError("in the middle")
    assert unchanged(on.model, before)


def test_using_nests(backbone: Make, update: Make) -> None:
    on = backbone("llama")
    before, one = bits(on.model), update(on)
    twice = Update({path: terms * 2 for path, terms in one.terms.items()}, "delta")
    with on.using(one), on.using(one):
        both = logits(on.model)
    with on.using(twice):
        torch.testing.assert_close(both, logits(on.model), rtol=1e-4, atol=1e-4)
    assert unchanged(on.model, before)


def test_using_nothing_is_the_bare_backbone(backbone: Make) -> None:
    on = backbone("llama")
    bare = logits(on.model)
    with on.using(None):
        assert torch.equal(logits(on.model), bare)


def test_half_precision_weights_are_rounded_once(backbone: Make, update: Make) -> None:
    on = backbone("llama", dtype=torch.bfloat16)
    on.model.to(torch.bfloat16)
    more = update(on)
    path, module = next(iter(on.projections.items()))
    right = (module.weight.float() + more.delta(path)).to(torch.bfloat16)
    with on.using(more):
        assert torch.equal(module.weight, right)


@pytest.mark.parametrize("family", FAMILIES)
def test_adding_by_hooks_equals_using(family: str, backbone: Make, factors: Make) -> None:
    on = backbone(family)
    before, pairs = bits(on.model), factors(on)
    hooks = {path: partial(lora.apply, a[None], b[None], 0.5) for path, (a, b) in pairs.items()}
    with on.adding(hooks):
        added = logits(on.model)
    merged = Update({path: (pair.scaled(0.5),) for path, pair in pairs.items()}, "delta")
    with on.using(merged):
        torch.testing.assert_close(added, logits(on.model), rtol=1e-4, atol=1e-4)
    assert unchanged(on.model, before)


def test_adding_leaves_nothing_after_an_error(backbone: Make) -> None:
    on = backbone("llama")
    before = bits(on.model)
    known = next(iter(on.projections))
    with pytest.raises(KeyError), on.adding({known: torch.zeros_like, "nowhere": torch.zeros_like}):
        pass
    with pytest.raises(RuntimeError, match="in the middle"), on.adding({known: torch.zeros_like}):
        raise RuntimeError("in the middle")
    assert unchanged(on.model, before)


class Packed(nn.Module):
    """A linear layer in 8 bits, as quantisation libraries have them."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = linear.weight.detach().abs().max() / 127
        self.weight = nn.Parameter((linear.weight.detach() / self.scale).round().to(torch.int8), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight.to(x.dtype) * self.scale).T


def test_packed_projections_go_by_hooks(model: Make, tokenizer: Make, update: Make) -> None:
    made, plain = model("llama"), model("llama")
    for layer, twin in zip(made.model.layers, plain.model.layers, strict=True):
        layer.self_attn.v_proj = Packed(layer.self_attn.v_proj)
        twin.self_attn.v_proj.weight.data = layer.self_attn.v_proj.weight * layer.self_attn.v_proj.scale
    on, dense_one = (wrap(m, tokenizer("llama"), name="packed") for m in (made, plain))
    assert on.shapes == dense_one.shapes
    assert on.fingerprint != dense_one.fingerprint
    before, more = bits(on.model), update(on)
    with on.using(more):
        torch.testing.assert_close(logits(on.model), dense(dense_one, more).float(), rtol=1e-4, atol=1e-4)
    assert unchanged(on.model, before)


def test_an_update_of_another_backbone_is_refused(backbone: Make, update: Make) -> None:
    on = backbone("llama")
    with (
        pytest.raises(LingarithError, match=r"llama: transformer\.h\.0\.\S+ is no linear layer of a block there"),
        on.using(update(backbone("bloom"))),
    ):
        pass
    wide = update(backbone("llama", hidden_size=64))
    with (
        pytest.raises(LingarithError, match=r"q_proj is 32 × 32 there and 64 × 64 in the update; compose it"),
        on.using(wide),
    ):
        pass


def test_frames_of_inputs(backbone: Make) -> None:
    t5, llama = backbone("t5"), backbone("llama")
    assert (list(t5.opening), list(t5.closing)) == ([], [1])
    assert (list(llama.opening), list(llama.closing)) == ([3], [])
    assert t5.encode(["w0 w1", "w2"]) == [[4, 5], [6]]
    assert t5.encode([]) == []
    assert t5.framed([4, 5, 6]) == [4, 5, 6, 1]
    assert llama.framed([4, 5, 6]) == [3, 4, 5, 6]
    assert (t5.eos, llama.eos) == (1, 1)
    assert (t5.encoder_decoder, llama.encoder_decoder) == (True, False)


def test_a_tokenizer_without_padding_or_end(model: Make, tokenizer: Make) -> None:
    words = tokenizer("llama")
    words.pad_token = None
    assert wrap(model("llama"), words, name="no padding").tokenizer.pad_token_id == 1
    words.pad_token = words.eos_token = None
    with pytest.raises(LingarithError, match="the tokenizer of endless has no end-of-sequence token"):
        _ = wrap(model("llama"), words, name="endless").eos


def test_the_model_is_frozen_and_decodes_plainly(model: Make, tokenizer: Make) -> None:
    made = model("llama")
    made.generation_config.update(do_sample=True, temperature=0.6, repetition_penalty=1.3)
    on = wrap(made.train(), tokenizer("llama"), name="llama")
    assert not on.model.training
    assert not any(p.requires_grad for p in on.model.parameters())
    assert on.model.generation_config.repetition_penalty is None  # type: ignore[union-attr]
    assert on.facts == {
        "name": "llama",
        "revision": None,
        "fingerprint": on.fingerprint,
        "parameters": sum(p.numel() for p in made.parameters()),
    }


def test_one_fingerprint_in_any_precision(model: Make, tokenizer: Make) -> None:
    made, words = model("llama"), tokenizer("llama")
    first = fingerprint(made, words)
    assert len(first) == 64
    assert fingerprint(model("llama"), words) == first
    assert fingerprint(made.to(torch.bfloat16), words) != first  # without the checkpoint's own numbers


@pytest.mark.parametrize("family", ["t5", "llama", "bloom"])
def test_every_number_of_a_checkpoint_counts(
    family: str, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = folder(family)
    first = load(str(where), device="cpu")
    assert identity_in(where) == (first.fingerprint, first.parts)
    _, tensor = next(item for item in read_safetensors(where / "model.safetensors").items() if item[1].ndim == 2)
    content = bytearray((where / "model.safetensors").read_bytes())
    at = bytes(content).index(tensor.numpy().tobytes()) + 4 * (tensor.shape[1] + 1)  # which no sample has
    content[at] ^= 1  # the last bit of a number
    (where / "model.safetensors").write_bytes(content)
    other = load(str(where), device="cpu")
    assert other.fingerprint != first.fingerprint
    assert other.parts["sampled"] == first.parts["sampled"]
    monkeypatch.setattr("lingarith.model.fingerprint._numbers", None)  # what did not change is not hashed again
    half = load(str(where), dtype="bfloat16", device="cpu")
    assert (half.fingerprint, half.facts["weights"]) == (other.fingerprint, "bfloat16")
    assert "weights" not in load(str(where), dtype="float32", device="cpu").facts


def test_fingerprints_differ_after_any_change(model: Make, tokenizer: Make) -> None:
    made, words = model("llama"), tokenizer("llama")
    seen = {fingerprint(made, words)}
    with torch.no_grad():
        made.model.layers[1].mlp.up_proj.weight[7] += 0.5
    seen.add(fingerprint(made, words))
    made.config.rope_parameters = {**made.config.rope_parameters, "rope_theta": 5.0}
    seen.add(fingerprint(made, words))
    words.add_tokens(["w60"])
    seen.add(fingerprint(made, words))
    seen.add(fingerprint(model("llama", num_hidden_layers=3), words))
    assert len(seen) == 5


@pytest.mark.parametrize(
    "settings",
    [
        {"_attn_implementation_autoset": True},
        {"unsloth_fixed": True, "unsloth_version": "2026.1"},
        {"transformers_version": "4.30.0", "_name_or_path": "elsewhere", "use_cache": False},
        {"pad_token_id": 7},
        {"pad_token_id": None},
    ],
)
@pytest.mark.parametrize("family", ["llama", "gemma3", "bloom"])
def test_what_changes_no_number_changes_no_fingerprint(
    settings: dict[str, Any], family: str, model: Make, tokenizer: Make
) -> None:
    made, words = model(family), tokenizer(family)
    first = fingerprint(made, words)
    for key, value in settings.items():
        setattr(made.config, key, value)
    assert fingerprint(made, words) == first


@pytest.mark.parametrize("family", ["gemma3", "t5"])
def test_a_key_of_the_class_itself_counts(family: str, model: Make, tokenizer: Make) -> None:
    made, words = model(family), tokenizer(family)
    first = fingerprint(made, words)
    key = {"gemma3": "_sliding_window_pattern", "t5": "relative_attention_max_distance"}[family]
    setattr(made.config, key, 5)
    assert fingerprint(made, words) != first


def test_the_newsrooms_fingerprint_stays() -> None:
    """Vectors are bound to it, older ones to the second."""
    on = load(device="cpu")
    assert on.parts["sampled"] == "adb6bd29d4f429ff1bb95c58104372700f7843e46fd453d854d2f1ca0b1d4239"
    assert on.fingerprint == "d2204f52f741f0b6b4c0a202c3547102f54106377ee815c425e46b765db9092a"


@pytest.mark.parametrize(
    "family", ["t5", "mt5", "umt5", "llama", "gemma2", "gemma3", "qwen2", "qwen3", "mistral", "bloom", "xglm"]
)
def test_an_ordinary_configuration_is_hashed_as_it_always_was(family: str, model: Make) -> None:
    """So that vectors of before stay those of their backbones."""
    made = model(family)
    made.config.pad_token_id = 3 if family == "bloom" else type(made.config)().pad_token_id  # as they are on the hub
    volatile = {"transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype", "use_cache"}

    def before(settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        return {key: before(value) for key, value in settings.items() if key not in volatile}

    assert configuration(made.config) == before(made.config.to_diff_dict())


def test_every_row_counts(model: Make, tokenizer: Make) -> None:
    made, words = model("llama"), tokenizer("llama")
    seen = {fingerprint(made, words)}
    weight = made.model.layers[0].self_attn.q_proj.weight
    for row in range(len(weight)):
        weight.data[row].mul_(1.1)
        seen.add(fingerprint(made, words))
    assert len(seen) == 1 + len(weight)


@pytest.fixture
def folder(tmp_path: Path, model: Make, tokenizer: Make) -> Callable[[str], Path]:
    """A folder in the hub's layout."""

    def make(family: str) -> Path:
        where = tmp_path / family
        model(family).save_pretrained(where)
        tokenizer(family).save_pretrained(where)
        return where

    return make


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_load_from_a_folder(family: str, folder: Callable[[str], Path], backbone: Make) -> None:
    where = folder(family)
    loaded, made = load(str(where), device="cpu"), backbone(family)
    assert loaded.name == str(where)
    assert loaded.fingerprint == made.fingerprint
    assert (loaded.opening, loaded.closing) == (made.opening, made.closing)
    assert torch.equal(logits(loaded.model), logits(made.model))
    half = load(str(where), dtype="bfloat16", device="cpu")
    assert next(half.model.parameters()).dtype == torch.bfloat16
    assert half.fingerprint == made.fingerprint


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_what_is_known_of_a_backbone_needs_its_numbers_once(
    family: str, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = folder(family)
    first = load(str(where), device="cpu")
    right = logits(first.model)

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the numbers were read")

    with monkeypatch.context() as patch:
        for kind in (transformers.AutoModelForCausalLM, transformers.AutoModelForSeq2SeqLM):
            patch.setattr(kind, "from_pretrained", refuse)
        again = load(str(where), device="cpu")
        for key in fields(Skeleton):
            assert getattr(again, key.name) == getattr(first, key.name), key.name
        assert again.facts == first.facts
        assert again.shapes_of("all") == first.shapes_of("all")
    assert torch.equal(logits(again.model), right)
    assert again.model is again.model


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_parts_that_keep_a_type_of_their_own_keep_it(family: str, folder: Callable[[str], Path]) -> None:
    """Rotary tables, and T5's ``wo`` in float16, are in float32 whatever the type of the weights is."""
    where = folder(family)
    kind = transformers.AutoModelForSeq2SeqLM if family == "t5" else transformers.AutoModelForCausalLM
    theirs = kind.from_pretrained(where, dtype=torch.float16)
    right = {name: tensor.dtype for name, tensor in (*theirs.named_parameters(), *theirs.named_buffers())}
    assert {*right.values()} == {torch.float16, torch.float32}
    for _ in range(2):  # loaded whole, and later than what is known of it
        ours = load(str(where), device="cpu", dtype="float16").model
        assert {n: t.dtype for n, t in (*ours.named_parameters(), *ours.named_buffers())} == right


def test_files_that_change_before_the_numbers_are_read_are_noticed(folder: Callable[[str], Path]) -> None:
    where = folder("llama")
    load(str(where), device="cpu")
    again = load(str(where), device="cpu")
    other = transformers.AutoModelForCausalLM.from_pretrained(where)
    with torch.no_grad():
        other.model.layers[1].mlp.up_proj.weight[3, 2] += 1
    other.save_pretrained(where)
    with pytest.raises(LingarithError, match=r"changed while it was in use; run the same command again$"):
        _ = again.model
    assert load(str(where), device="cpu").fingerprint != again.fingerprint


@pytest.mark.parametrize("shown", [True, False])
def test_loading_is_silent_and_leaves_the_setting(
    shown: bool, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = folder("t5")
    monkeypatch.setattr(logging, "_tqdm_active", shown)
    capfd.readouterr()
    load(str(place))
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled() is shown


def test_the_newsroom_is_the_default() -> None:
    on = load(device="cpu")
    assert on.name == "newsroom"
    assert on.encoder_decoder
    assert len(on.closing) == 1 == on.closing.count(on.eos)


def refused(where: Path | str, message: str, **options: Any) -> None:
    with pytest.raises(LingarithError, match=message) as caught:
        load(str(where), device="cpu", **options)
    assert "\n" not in str(caught.value)


def test_what_is_no_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(tmp_path / "missing", "there is no folder .*missing; give a folder with a model, a name on the hub")
    refused("../missing", r"there is no folder \.\./missing; give")
    refused(tmp_path, r"holds no model \(no config.json\); give the folder")
    refused("nobody/nothing", "no backbone can be loaded from 'nobody/nothing'")
    refused("newsroom", "bits=3 is not known; choose 4 or 8", bits=3)


def test_only_safetensors_are_read(folder: Callable[[str], Path]) -> None:
    where = folder("llama")
    torch.save({}, where / "pytorch_model.bin")
    (where / "model.safetensors").unlink()
    refused(where, "has no weights in safetensors, and other files are not read since a pickle can run code; save the")
    (where / "model-Q4_K_M.gguf").write_bytes(b"GGUF")
    for name in (where, where / "model-Q4_K_M.gguf"):
        refused(name, "is damaged, or no GGUF")


def test_damaged_and_incomplete_checkpoints(folder: Callable[[str], Path]) -> None:
    where = folder("llama")
    config, weights = where / "config.json", where / "model.safetensors"
    settings, content = json.loads(config.read_text()), weights.read_bytes()
    config.write_text(json.dumps(settings | {"num_hidden_layers": 3}))
    refused(where, r"no fitting weights for 9 tensors of LlamaForCausalLM \(model.layers.2.input_layernorm.weight …\)")
    config.write_text(json.dumps(settings | {"intermediate_size": 64}))
    refused(where, r"no fitting weights for 6 tensors .*, and random ones would take their place; choose a complete")
    config.write_text("{half")
    refused(where, "config.json is damaged: not JSON")
    config.write_text(json.dumps(settings))
    weights.write_bytes(content[:-100])
    refused(where, "incomplete metadata, file not fully covered|MetadataIncompleteBuffer")
    weights.write_bytes(content)
    (where / "tokenizer.json").unlink()
    refused(where, "no backbone can be loaded from")


def test_a_repositorys_code_is_never_run(folder: Callable[[str], Path]) -> None:
    where = folder("llama")
    custom = {"model_type": "own", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}}
    (where / "config.json").write_text(json.dumps(custom))
    (where / "code.py").write_text("raise SystemExit('this ran')")
    refused(where, "contains custom code")


@pytest.mark.parametrize(("ratio", "dtype"), [(50.0, torch.float32), (0.2, torch.bfloat16)])
def test_weights_are_of_the_type_that_is_quick_here(
    ratio: float, dtype: torch.dtype, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lingarith.model.speed.slower", lambda half: ratio)
    where = folder("llama")
    halved = load(str(where), device="cpu", dtype="bfloat16")
    halved.model.save_pretrained(where)
    on = load(str(where), device="cpu")
    assert on.model.dtype == dtype
    said = "in float32, since bfloat16 takes 50 times as long on this processor"
    assert on.facts.get("computed") == (said if dtype == torch.float32 else None)
    again = load(str(where), device="cpu", dtype="bfloat16")
    assert again.model.dtype == torch.bfloat16
    assert on.fingerprint == again.fingerprint

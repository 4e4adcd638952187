"""Cards as the hub reads them, and their snippets as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from lingarith.formats.card import CARD, Measured, card, evaluated, hub_name, untouched
from lingarith.formats.snippets import snippet

CONFIG = {"base_model_name_or_path": "google/mt5-base", "peft_type": "LORA", "task_type": "SEQ_2_SEQ_LM"}
ABOUT: dict[str, Any] = {
    "expression": "0.9*xlsum[en] + 0.1*mc4[yo]",
    "space": "delta, rank 4",
    "error": 0.25,
    "command": "lingarith adapt yo",
    "prompt": "summarize in {language_name}:\n{text}",
    "task": "summaries",
    "language": "yo",
    "writes": "target",
    "parents": {"xlsum[en]": "3f2a" * 16},
    "backbone": {"fingerprint": "0f1e"},
    "made_from": {
        "xlsum[en]": {"kind": "task", "language": "en", "data": {"source": "xlsum@abc", "examples": 20}},
        "mc4[yo]": {"kind": "language", "language": "yo", "data": {"source": "mc4", "documents": 9}},
    },
}
MEASURED = Measured("ROUGE-2", 12.3456, "xlsum@abc", "yo", "test", "95 % interval 11 to 14, 64 examples")


def test_front_matter() -> None:
    text = card(CONFIG, ABOUT, chosen="λ = 0.9.", results="### A table", tested=[MEASURED])
    data = ModelCard(text).data
    assert (data.base_model, data.base_model_relation, data.library_name) == ("google/mt5-base", "adapter", "peft")
    assert (data.language, data.pipeline_tag) == (["yo"], "summarization")
    assert data.license == "cc-by-nc-sa-4.0"  # of XL-Sum and mC4 the stricter
    assert data.datasets == ["csebuetnlp/xlsum", "allenai/c4"]
    assert {"lingarith", "lora"} <= set(data.tags)
    [result] = data.eval_results
    assert (result.dataset_type, result.dataset_config, result.dataset_revision) == ("csebuetnlp/xlsum", "yo", "abc")
    assert (result.metric_name, result.metric_value) == ("ROUGE-2", 12.35)
    for line in (
        "| Expression | `0.9*xlsum[en] + 0.1*mc4[yo]` |",
        "| Command | `lingarith adapt yo` |",
        "The cut lost 25.00% of the sum.",
        "**Weights.** λ = 0.9.",
        "### A table",
        "| `xlsum[en]` | `3f2a3f2a3f2a` | task, en, xlsum@abc | 20 | `` |",
        "- mc4: odc-by",
    ):
        assert f"\n{line}\n" in text


@pytest.mark.parametrize(("language", "said"), [("por_Latn", "pt"), ("zh-Hans", "zh"), ("xx", "xx")])
def test_languages_are_those_of_iso_639(language: str, said: str) -> None:
    assert ModelCard(card(CONFIG, ABOUT | {"language": language})).data.language == [said]
    assert ModelCard(card(CONFIG, ABOUT | {"language": language, "writes": "eng_Latn"})).data.language == [said, "en"]


def test_scores_on_data_of_the_hub_stand_in_a_file_too() -> None:
    [entry] = parse_eval_result_entries(yaml.safe_load(evaluated([MEASURED], "2026-01-02")))
    assert (entry.dataset_id, entry.task_id, entry.dataset_revision) == ("csebuetnlp/xlsum", "yo", "abc")
    assert (entry.value, entry.date) == (12.35, "2026-01-02")
    assert evaluated([Measured("F1", 1.0, "mine/{language}.jsonl", "yo", "test", "")], "2026-01-02") == ""


def test_the_checkpoints_of_a_difference_are_named() -> None:
    origins = {
        "chat[en]": {"kind": "difference", "tuned": {"name": "me/chat", "revision": "3f2a"}},
        "code[en]": {"kind": "difference", "tuned": {"name": "/home/me/code", "fingerprint": "91c0"}},
        "old[en]": {"kind": "difference", "tuned": "/home/me/old"},  # as imports wrote it before
    }
    text = card(CONFIG, {"backbone": {"name": "google/mt5-base", "fingerprint": "0f1e"}, "made_from": origins})
    base = "[google/mt5-base](https://huggingface.co/google/mt5-base)"
    chat = "[me/chat](https://huggingface.co/me/chat)"
    assert f"\n`chat[en]` is what {chat} (revision `3f2a`) differs by from {base} (fingerprint `0f1e`).\n" in text
    assert "\n`code[en]` is what `/home/me/code` (fingerprint `91c0`) differs by from " in text
    assert "\n`old[en]` is what `/home/me/old` (no revision known) differs by from " in text
    assert f"\nThe terms of {base} and of {chat} and of `/home/me/code` and of `/home/me/old` hold as well.\n" in text


def test_what_is_not_known_is_said() -> None:
    text = card(CONFIG | {"base_model_name_or_path": "/home/me/model"}, {"made_from": {"x": {}}})
    data = ModelCard(text).data
    assert (data.license, data.license_name, data.base_model) == ("other", "unknown", None)
    assert "base_model_relation" not in data.to_dict()  # a relation to nothing
    assert "on what grounds, is not recorded" in text
    assert "not known here; say it before you publish" in text
    assert "Nothing was measured" in text


def test_a_folder_of_this_machine_is_no_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub_name("me/model") == "me/model"
    (tmp_path / "me" / "model").mkdir(parents=True)
    assert hub_name("me/model") is None


def test_a_card_that_somebody_changed_is_no_longer_ours(tmp_path: Path) -> None:
    assert untouched(tmp_path)
    (tmp_path / CARD).write_text(card(CONFIG, ABOUT), encoding="utf-8")
    assert untouched(tmp_path)
    (tmp_path / CARD).write_text(card(CONFIG, ABOUT).replace("0.9*", "0.8*"), encoding="utf-8")
    assert not untouched(tmp_path)
    (tmp_path / CARD).write_bytes(b"\xff")
    assert not untouched(tmp_path)


@pytest.mark.parametrize(
    ("library", "relation", "tags"),
    [("gguf", "adapter", ["lora", "gguf"]), ("mlx", "adapter", ["lora", "mlx"]), ("transformers", "finetune", [])],
)
def test_what_other_programs_load_is_called_that(library: str, relation: str, tags: list[str]) -> None:
    kind = {} if library == "transformers" else {"peft_type": "LORA"}
    config = {"base_model_name_or_path": "google/mt5-base", "task_type": "CAUSAL_LM", **kind}
    data = ModelCard(card(config, ABOUT, library=library)).data
    assert (data.library_name, data.base_model, data.base_model_relation) == (library, "google/mt5-base", relation)
    assert data.tags == ["lingarith", *tags, "task-arithmetic", "cross-lingual-transfer"]
    assert (data.language, data.pipeline_tag) == (["yo"], "summarization")
    # A whole model holds the weights of its base, whose licence is not known here.
    assert data.license == ("other" if library == "transformers" else "cc-by-nc-sa-4.0")


def test_two_models_in_one_are_a_merge() -> None:
    origins = {"chat[en]": {"kind": "difference", "tuned": {"name": "me/chat", "revision": "3f2a"}}}
    config = {"base_model_name_or_path": "google/mt5-base", "task_type": "CAUSAL_LM"}
    data = ModelCard(card(config, {"made_from": origins, "rounding": 0.01}, library="transformers")).data
    assert (data.base_model, data.base_model_relation) == (["google/mt5-base", "me/chat"], "merge")
    text = card(config, {"rounding": 0.015}, library="transformers")
    assert "\n# mt5-base-merged-sum\n" in text
    assert "\nRounding to the base's type lost 1.50% of the update.\n" in text


SHELL = {
    "gguf": """[ -d google/mt5-base ] || hf download google/mt5-base --local-dir google/mt5-base
python convert_hf_to_gguf.py google/mt5-base --outfile base.gguf
llama-completion -m base.gguf --lora "$adapter/adapter.gguf" -no-cnv --temp 0 -n 64 -p 'summarize in Yoruba:
…'
""",
    "mlx": """mlx_lm.generate --model google/mt5-base --adapter-path "$adapter" --ignore-chat-template --temp 0 \
--max-tokens 64 --prompt 'summarize in Yoruba:
…'
""".replace("\\\n", ""),
}


@pytest.mark.parametrize("library", SHELL)
def test_commands_of_other_programs(library: str) -> None:
    assert snippet(CONFIG, ABOUT, library) == (
        '```sh\nadapter="."  # this folder, or its name on the hub\n'
        f'[ -d "$adapter" ] || hf download "$adapter" --local-dir "$adapter"\n{SHELL[library]}```'
    )


@pytest.mark.parametrize(
    ("base", "fetched", "model"),
    [
        ("google/gemma:gemma-Q4.gguf", "hf download google/gemma gemma-Q4.gguf --local-dir .\n", "gemma-Q4.gguf"),
        ("my models/gemma.gguf", "", "'my models/gemma.gguf'"),
    ],
)
def test_a_base_in_gguf_is_not_converted(base: str, fetched: str, model: str) -> None:
    code = snippet({"base_model_name_or_path": base}, {}, "gguf")
    assert f'--local-dir "$adapter"\n{fetched}llama-completion -m {model} --lora ' in code
    assert "convert_hf_to_gguf" not in code


def test_prompts_in_the_snippet() -> None:
    code = snippet(CONFIG, ABOUT)
    assert 'text = "summarize in Yoruba:\\n{text}".replace("{text}", "…")\n' in code
    assert "output[inputs" not in code
    assert "AutoModelForCausalLM.from_pretrained(base)" in snippet(CONFIG | {"task_type": "CAUSAL_LM"}, {})

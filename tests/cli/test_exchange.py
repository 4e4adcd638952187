"""`lingarith import` and `export` as typed in a shell."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.disk.tensors import read_safetensors, write_safetensors

SUM = "0.6*headlines[en] + 0.4*(news[pt] - news[en])"
DELTA = ("--space", "delta")


def config(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "adapter_config.json").read_text()))


@pytest.fixture
def exported(command: Any, store: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    assert command("export", SUM, *DELTA, "--out", folder, "--store", store).code == 0
    return folder


def test_export_and_import_are_the_same_vector(command: Any, exported: Path, store: Path, tmp_path: Path) -> None:
    done = command("import", exported, "--name", "task[pt]", "--store", store)
    assert done.code == 0, done.err
    assert "is in" in done.out
    assert "LoRA, rank 12, scale 1, 24 projections\n" in done.out
    assert "as its folder says" in done.out
    again = tmp_path / "again"
    facts = command("export", "task[pt]", *DELTA, "--out", again, "--store", store, "--json").json
    assert (facts["format"], facts["adapter"], facts["error"]) == ("peft", "LoRA, rank 12", 0)
    assert facts["backbone"] == json.loads((exported / "lingarith.json").read_text())["backbone"]
    weights = "adapter_model.safetensors"
    assert (again / weights).read_bytes() == (exported / weights).read_bytes()
    shown = command("vectors", "show", "task[pt]", "--store", store, "--json").json
    assert shown["origin"]["composed"]["expression"] == SUM


def test_a_sum_reads_what_its_task_reads_in_the_language_that_is_added(exported: Path) -> None:
    facts = json.loads((exported / "lingarith.json").read_text())
    assert (facts["prompt"], facts["language"]) == ("summarize: {text}", "pt")
    assert "\nlanguage:\n- pt\n" in (exported / "README.md").read_text(encoding="utf-8")


def test_numbers_far_too_large_are_warned_of(command: Any, exported: Path, store: Path) -> None:
    words = ("import", exported, "--name", "task[pt]", "--store", store)
    sound = command(*words, "--json")
    assert (sound.json["warnings"], sound.err) == ([], "")
    weights = exported / "adapter_model.safetensors"
    tensors = read_safetensors(weights)
    path = "encoder.block.0.layer.0.SelfAttention.q"
    tensors[f"base_model.model.{path}.lora_A.weight"] *= 1e6
    write_safetensors(weights, tensors)
    done = command(*words, "--json")
    (warning,) = done.json["warnings"]
    assert warning.startswith(f"tensor '{path}.lora.a' is ")
    assert done.err == f"warning: {warning}; the adapter may be damaged\n"
    told = command(*words)
    assert told.err == done.err
    assert "is in" in told.out


def test_paths_that_begin_otherwise_and_factors_of_zero(command: Any, exported: Path, store: Path) -> None:
    (exported / "lingarith.json").unlink()
    weights = exported / "adapter_model.safetensors"
    tensors = {f"_orig_mod.{name}": tensor * ("lora_A" in name) for name, tensor in read_safetensors(weights).items()}
    write_safetensors(weights, tensors)
    done = command("import", exported, "--name", "task[pt]", "--store", store)
    assert (done.code, done.err) == (0, "warning: task[pt] is 0: it adds nothing; the adapter may be damaged\n")
    said = "bound by the ends of its paths: the prefix base_model.model. was dropped, _orig_mod was left out\n"
    assert said in done.out
    shown = command("vectors", "show", "task[pt]", "--store", store)
    assert "\nwarning: task[pt] is 0: it adds nothing\n" in shown.out
    facts = command("vectors", "show", "task[pt]", "--store", store, "--json").json
    assert facts["warnings"] == ["task[pt] is 0: it adds nothing"]
    assert facts["origin"]["renamed"] == said.partition(": ")[2].strip()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # asked for by PEFT
def test_peft_and_generate_write_the_same_tokens(
    command: Any, store: Path, tiny_backbone: Path, exported: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    articles = ["A bridge opened in Oman on Monday.", "The score was 3 to 1."]
    here = command("generate", SUM, *articles, *DELTA, "-b", tiny_backbone, "--store", store, "--max-output", 12).out
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)
    model = PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(tiny_backbone), exported).eval()
    for article, line in zip(articles, here.splitlines(), strict=True):
        ids = tokenizer(f"summarize: {article}", return_tensors="pt")["input_ids"]
        out = model.generate(input_ids=ids, max_new_tokens=12, do_sample=False)
        assert tokenizer.decode(out[0], skip_special_tokens=True) == line
    assert here.strip()


def test_serving(command: Any, store: Path, tmp_path: Path) -> None:
    done = command("export", SUM, *DELTA, "--format", "serving", "--out", tmp_path / "x", "--store", store)
    assert done.code == 0, done.err
    assert "rank 16: give the server a --max-lora-rank of at least that" in done.out
    assert "warning: vLLM and SGLang serve no LoRA on encoder-decoder models" in done.err
    assert config(tmp_path / "x")["r"] == 16
    assert config(tmp_path / "x")["target_modules"] == ["k", "o", "q", "v"]
    assert config(tmp_path / "x")["task_type"] == "SEQ_2_SEQ_LM"


def test_lokr(command: Any, fails: Callable[..., str], store: Path, tmp_path: Path) -> None:
    words = ("export", SUM, *DELTA, "--format", "lokr", "--out", tmp_path / "x", "--store", store)
    assert "--rank-out 1 --kronecker-out 16x16" in fails(*words)
    done = command(*words, "--rank-out", "1", "--kronecker-out", "4x4")
    assert done.code == 0, done.err
    assert "in delta, 1 × Kronecker 4 × 4: Kronecker 4 × 4, " in done.out
    assert "of it lost by the cut" in done.out
    assert config(tmp_path / "x")["decompose_factor"] == 4
    back = command("import", tmp_path / "x", "--name", "task[pt]", "--store", store, "--json").json
    assert (back["reason"], back["origin"]["adapter"]["kind"]) == ("as its folder says", "kronecker")


def test_merged(
    command: Any,
    fails: Callable[..., str],
    store: Path,
    tiny_backbone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    merged = tmp_path / "merged"
    done = command("export", SUM, *DELTA, "--format", "merged", "-b", tiny_backbone, "--out", merged, "--store", store)
    assert done.code == 0, done.err  # the vectors name their backbone's folder
    assert "rounding to its type lost 0.00% of the update" in done.out
    words = (*DELTA, "A bridge opened.", "--store", store, "--max-output", 12)
    assert command("generate", SUM, *words, "-b", tiny_backbone).out.strip()
    elsewhere = tmp_path / "elsewhere"
    facts = command(
        "export", SUM, *DELTA, "--format", "merged", "-b", tiny_backbone, "--out", elsewhere, "--store", store, "--json"
    ).json
    assert 0 < facts["rounding"] < 1e-4
    assert (elsewhere / "model.safetensors").read_bytes() == (merged / "model.safetensors").read_bytes()
    [code] = re.findall(r"```python\n(.*?)```", (merged / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    with monkeypatch.context() as patch:
        patch.chdir(merged)
        exec(code, {})
    (merged / "README.md").write_text("mine")
    words = ("export", SUM, *DELTA, "--format", "merged", "-b", tiny_backbone, "--out", merged, "--store", store)
    assert "holds README.md, which was not written here" in fails(*words)


def test_a_backbone_is_named_in_three_ways(
    command: Any, fails: Callable[..., str], exported: Path, store: Path, tiny_backbone: Path
) -> None:
    (exported / "lingarith.json").unlink()
    words = ("import", exported, "--name", "task[pt]", "--store", store)
    assert "the only one in the store that it fits" in command(*words).out
    assert "that of news[en]" in command(*words, "--like", "news[en]").out
    assert "as --backbone says" in command(*words, "--backbone", tiny_backbone).out
    assert "leave out one of them" in fails(*words, "--backbone", tiny_backbone, "--like", "news[en]")
    elsewhere = (*words[:-1], store.parent / "nothing")
    assert "say which by --like VECTOR or --backbone NAME" in fails(*elsewhere)
    assert not (store.parent / "nothing").exists()


def test_no_backbone_is_loaded(
    command: Any, store: Path, tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", loaded)
    merged = ("--format", "merged", "-b", tiny_backbone)
    assert command("export", SUM, "--out", tmp_path / "peft", "--store", store).code == 0
    assert command("export", SUM, "--out", tmp_path / "merged", *merged, "--store", store).code == 0
    assert command("import", tmp_path / "peft", "--name", "task[pt]", "--store", store).code == 0
    assert (tmp_path / "merged" / "model.safetensors").exists()


def test_mistakes(fails: Callable[..., str], exported: Path, store: Path, tmp_path: Path) -> None:
    there = ("--out", tmp_path / "x", "--store", store)
    assert fails("export", SUM, "--format", "pfet", *there) == "no format named 'pfet'; did you mean peft?"
    assert "the combination is 0" in fails("export", "news[en] - news[en]", *there)
    assert "did you mean news[en]" in fails("export", "news[eng]", *there)
    assert "rank 13 is too high: the exact sum has rank 12" in fails("export", SUM, *DELTA, "--rank-out", "13", *there)
    assert "m=3 does not divide" in fails("export", SUM, *DELTA, "--rank-out", "1", "--kronecker-out", "3x4", *there)
    assert "rank=2 needs space 'delta'" in fails("export", SUM, "--rank-out", "2", *there)
    assert "--backbone goes with --format merged, gguf or lm-eval, and peft needs none" in fails(
        "export", SUM, "--backbone", "newsroom", *there
    )
    assert "cache does not hold it" in fails("export", SUM, "--format", "merged", "--backbone", "no/where", *there)
    assert not (tmp_path / "x").exists()
    (exported / "notes.txt").write_text("mine")
    assert "holds notes.txt" in fails("export", SUM, "--out", exported, "--store", store)
    assert "cannot name a vector" in fails("import", exported, "--name", "a b", "--store", store)
    assert "adapter_config.json does not exist" in fails("import", tmp_path, "--name", "task[en]", "--store", store)
    changed = config(exported) | {"use_dora": True}
    (exported / "adapter_config.json").write_text(json.dumps(changed))
    assert "DoRA's magnitudes" in fails("import", exported, "--name", "task[en]", "--store", store)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # asked for by PEFT
def test_the_card_of_an_export_and_its_snippet(
    command: Any, exported: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (exported / "README.md").read_text(encoding="utf-8")
    assert f"| Expression | `{SUM}` |" in text
    assert "| Command | `lingarith export '0.6*headlines[en]" in text
    assert "- newsroom: apache-2.0" in text
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    with monkeypatch.context() as patch:
        patch.chdir(exported)
        exec(code, {})
    dry = command("push", exported, "me/pt", "--dry-run")
    assert dry.err == f"warning: its base model is '{tiny_backbone}', which is no name on the hub: nobody else has it\n"
    assert "README.md" in dry.out
    assert dry.out.endswith("would be me/pt on the hub, private\n")


def test_a_fine_tuned_model_joins_sums(
    command: Any, fails: Callable[..., str], store: Path, tiny_backbone: Path, tmp_path: Path
) -> None:
    tuned = Path(shutil.copytree(tiny_backbone, tmp_path / "tuned"))
    weights = tuned / "model.safetensors"
    write_safetensors(weights, {name: tensor * 1.01 for name, tensor in read_safetensors(weights).items()})
    words = ("import", tuned, "--minus", tiny_backbone, "--name", "chat[en]", "--store", store)
    done = command(*words)
    assert done.code == 0, done.err
    assert "full, " in done.out
    assert "embeddings, norms and the like differ too" in done.out
    merged = tmp_path / "merged"
    words_out = ("--format", "merged", "-b", tiny_backbone, "--out", merged, "--store", store)
    written = command("export", "chat[en]", "--space", "delta", *words_out)
    assert written.code == 0, written.err
    there = read_safetensors(merged / "model.safetensors")
    for name, tensor in read_safetensors(weights).items():
        assert (there[name] - tensor).abs().max() < 1e-6, name
    facts = command(*words, "--rank", "2", "--json").json
    assert facts["adapter"] == "LoRA, rank 2"
    assert 0 < facts["error"] < 1
    assert facts["left_out"]
    known = command("backbone", "show", tuned, "--json").json["fingerprint"]
    assert facts["origin"]["tuned"] == {"name": str(tuned), "fingerprint": known}
    joined = command("compose", "headlines[en] + 0.5*chat[en]", *DELTA, "--out", tmp_path / "sum", "--store", store)
    assert joined.code == 0, joined.err
    card = (tmp_path / "sum" / "README.md").read_text(encoding="utf-8")
    assert (
        f"`chat[en]` is what `{tuned}` (fingerprint `{known}`) differs by from `{tiny_backbone}` (fingerprint" in card
    )
    assert "leave out --backbone and --like" in fails(*words, "--like", "news[en]")
    assert "name the other one by --minus BASE" in fails(
        "import", tuned, "--rank", "2", "--name", "x", "--store", store
    )


def test_a_task_of_lm_evaluation_harness_runs_in_any_folder(
    command: Any, store: Path, tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_backbone.parent)
    words = ("export", SUM, *DELTA, "--format", "lm-eval", "--labels", "newsroom", "--test-limit", "1", "--lang", "pt")
    done = command(*words, "-b", tiny_backbone.name, "--out", tmp_path / "lm", "--store", store)
    assert f"pretrained={tiny_backbone},peft=" in done.out
    assert "only this machine has that folder" in done.err
    monkeypatch.chdir(tmp_path)
    assert runpy.run_path(str(tmp_path / "lm" / "task.py"))["BASE"] == str(tiny_backbone)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--lang", "xx", "--labels", "newsroom"), "the newsroom does not write 'xx'"),
        (("--lang", "pt,yo", "--labels", "newsroom"), "the newsroom does not write 'pt,yo'"),
        (("--lang", "xx", "--labels", "xlsum"), "xlsum has no language 'xx' here"),
        (("--lang", "pt,yo", "--labels", "x/{language}.jsonl"), "'pt,yo' is no language code"),
        (("--lang", "pt", "--labels", "x/{language}.jsonl"), "no file matches 'x/{language}.jsonl'"),
        (("--lang", "pt", "--labels", "newsrom"), "there is no source 'newsrom'; did you mean newsroom?"),
        (("--lang", "pt", "--task", "summaries,topics"), "one task at a time, and not summaries and topics"),
    ],
)
def test_what_lm_evaluation_harness_cannot_score(
    words: tuple[str, ...], sentence: str, fails: Callable[..., str], trained: Path, tmp_path: Path
) -> None:
    there = ("--format", "lm-eval", "--out", tmp_path / "lm", "--store", trained)
    assert fails("export", SUM, *DELTA, *words, *there).startswith(sentence)
    assert not (tmp_path / "lm").exists()


def test_a_task_of_lm_evaluation_harness_scores_as_we_do(
    command: Any, fails: Callable[..., str], store: Path, tiny_backbone: Path, tmp_path: Path
) -> None:
    data = ("--labels", "newsroom", "--test-limit", "4", "--max-output", "8")
    words = ("export", SUM, *DELTA, "--format", "lm-eval", "--out", tmp_path / "lm", "--store", store)
    assert "--lang says whose examples" in fails(*words)
    assert "go with --format lm-eval" in fails("export", SUM, *data, "--out", tmp_path / "x", "--store", store)
    done = command(*words, *data, "--lang", "pt")
    assert done.code == 0, done.err
    assert (
        f"peft={tmp_path / 'lm' / 'adapter'} --include_path {tmp_path / 'lm'} --tasks lingarith_summaries_pt"
        in done.out
    )
    assert (tmp_path / "lm" / "adapter" / "adapter_model.safetensors").exists()
    settings = (tmp_path / "lm" / "lingarith_summaries_pt.yaml").read_text()
    assert "custom_dataset: !function task.documents\n" in settings
    assert "max_gen_toks: 8\n" in settings
    usual = (*words[:-3], tmp_path / "usual", *words[-2:], "--labels", "newsroom", "--lang", "pt")
    assert command(*usual, "--test-limit", "4").code == 0
    assert "max_gen_toks: 64\n" in (tmp_path / "usual" / "lingarith_summaries_pt.yaml").read_text()  # evaluate's too
    records = tmp_path / "records.jsonl"
    ours = command("evaluate", SUM, "pt", *DELTA, *data, "-b", tiny_backbone, "--store", store, "--records", records)
    assert ours.code == 0, ours.err
    theirs = runpy.run_path(str(tmp_path / "lm" / "task.py"))
    documents = theirs["documents"]()["test"]
    lines = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]
    assert [one["id"] for one in documents] == [line["id"] for line in lines]
    for document, line in zip(documents, lines, strict=True):
        assert document["input"].startswith("summarize: ")
        assert theirs["scored"](document, [line["output"]]) == {"rouge2": pytest.approx(line["score"], abs=1e-3)}
        assert theirs["scored"](document, [document["references"][0]]) == {"rouge2": 100.0}

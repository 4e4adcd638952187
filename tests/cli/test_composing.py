"""``compose``, ``choose``, ``evaluate`` and ``generate`` on vectors of a tiny backbone."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.adapters.lora import Lora
from lingarith.store.store import Store
from lingarith.text.labelled import Asked
from lingarith.vectors.vector import Vector

Command = Callable[..., Any]
EXPRESSION = "0.6*headlines[en] + 0.4*(news[pt] - news[en])"


@pytest.fixture
def on(store: Path, tiny_backbone: Path) -> tuple[str, ...]:
    """The backbone and a store with its vectors."""
    return ("-b", str(tiny_backbone), "--store", str(store))


@pytest.fixture(scope="session")
def other_backbone(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone of the same shapes with other weights."""
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("other")
    model = T5ForConditionalGeneration.from_pretrained(tiny_backbone)
    for parameter in model.parameters():
        parameter.data.mul_(1.5)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_backbone).save_pretrained(folder)
    return folder


# ---------------------------------------------------------------- compose


def test_compose(command: Command, store: Path, tmp_path: Path) -> None:
    words = ("compose", EXPRESSION, "--store", store, "--space", "delta", "--rank-out", "3")
    facts = command(*words, "--name", "mixed[pt]", "--out", tmp_path / "adapter", "--json").json
    assert facts["expression"] == EXPRESSION
    assert (facts["adapter"], facts["space"]) == ("LoRA, rank 3", "delta, rank 3")
    assert 0 < facts["error"] < 1
    assert facts["norm"] > 0
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert (config["r"], config["task_type"]) == (3, "SEQ_2_SEQ_LM")
    assert json.loads((tmp_path / "adapter/lingarith.json").read_text())["parents"] == facts["parents"]
    shown = command("vectors", "show", "mixed[pt]", "--store", store, "--json").json
    assert (shown["hash"], shown["origin"]["expression"]) == (facts["hash"], EXPRESSION)
    said = command(*words).out
    assert f"{EXPRESSION}\nin delta, rank 3: LoRA, rank 3" in said
    assert "% of it lost by the cut" in said


@pytest.mark.parametrize("verb", ["compose", "export"])
def test_a_decoder_alone_has_its_own_task_type(verb: str, command: Command, tmp_path: Path) -> None:
    terms = {path: (term,) for path, term in Lora(1).init({"model.layers.0.self_attn.q_proj": (4, 4)}, 0).items()}
    store = Store(tmp_path / "store")
    store.put(Vector("news[pt]", terms, 1.0, {"backbone": {"name": "tiny", "fingerprint": "f" * 64}}))
    assert command(verb, "news[pt]", "--store", store.folder, "--out", tmp_path / "adapter").code == 0
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"


@pytest.mark.parametrize("expression", ["-2*news[pt]", "-news[pt]", "-(news[pt] - news[en])", "-.5*news[pt]"])
def test_an_expression_may_begin_with_a_minus(expression: str, command: Command, trained: Path) -> None:
    usual = command("compose", "--store", trained, "--json", "--", expression).json
    assert command("compose", expression, "--store", trained, "--json").json == usual


def test_words_that_only_begin_with_a_dash(fails: Callable[..., str], trained: Path) -> None:
    for word in ("-x", "-news", "-5 degrees", "-2*news[pt", "-1"):
        assert fails("generate", "news[pt]", word, "--store", trained).startswith(f"No such option: {word[:2]}; see")


def test_compose_needs_no_backbone_and_changes_nothing(command: Command, trained: Path) -> None:
    before = sorted(trained.rglob("*"))
    assert command("compose", EXPRESSION, "--store", trained).code == 0
    assert sorted(trained.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("headlines[eng]",), "no vector named 'headlines[eng]' in {store}; did you mean headlines[en]?"),
        (("headlines[en] + news[pt] - news[pt]", "--rank-out", "0", "--space", "delta"), "rank=0 needs space 'delta'"),
        (("news[pt]", "--rank-out", "2"), "rank=2 needs space 'delta'"),
        (("news[pt]", "--space", "delt"), "no space named 'delt'; did you mean delta?"),
        (("news[pt] - news[pt]",), "the combination is 0"),
        (("news[pt]", "--name", "../news[pt]"), "'../news[pt]' cannot name a vector"),
        (("news[pt]", "--name", "a/b"), "'a/b' cannot name a vector"),
        (("news[pt]", "--name", ".."), "'..' cannot name a vector"),
    ],
)
def test_what_cannot_be_composed(
    words: tuple[str, ...], sentence: str, fails: Callable[..., str], trained: Path, tmp_path: Path
) -> None:
    before = sorted(trained.rglob("*"))
    said = fails("compose", *words, "--store", trained, "--out", tmp_path / "adapter")
    assert said.startswith(sentence.format(store=trained))
    assert sorted(trained.rglob("*")) == before
    assert not (tmp_path / "adapter").exists()


def test_an_expression_that_cannot_be_read_shows_the_place(command: Command, trained: Path) -> None:
    done = command("compose", "0.6*headlines[en] + 0.4 news[pt]", "--store", trained)
    assert done.code == 2
    sentence, text, caret = done.err.splitlines()
    assert sentence == "error: an operator such as + or * is missing before news[pt]"
    assert text[caret.index("^") :] == "news[pt]"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (("--rank", "3"), "cannot be added in factors space: LoRA, rank"),
        (("--init-seed", "1"), "cannot be added in factors space: initialisations"),
        (("--alpha", "8"), "cannot be added in factors space: α/r is"),
    ],
)
def test_vectors_that_do_not_fit_fit_in_delta(
    changed: tuple[str, ...],
    sentence: str,
    command: Command,
    fails: Callable[..., str],
    store: Path,
    training: tuple[str, ...],
) -> None:
    assert command("train", "language", "pt", "--characters", "500", *training, *changed, "--store", store).code == 0
    assert sentence in fails("compose", "headlines[en] + news[pt]", "--store", store)
    assert command("compose", "headlines[en] + news[pt]", "--store", store, "--space", "delta").code == 0


@pytest.mark.parametrize("file", ["thesis.tex", "adapter_config.json"])
def test_compose_keeps_what_is_not_its_own(file: str, fails: Callable[..., str], trained: Path, tmp_path: Path) -> None:
    (tmp_path / file).write_text("years of work")
    said = fails("compose", "news[pt]", "--store", trained, "--out", tmp_path)
    assert f"holds {file}, which was not written here" in said
    assert (tmp_path / file).read_text() == "years of work"
    assert "is a file" in fails("compose", "news[pt]", "--store", trained, "--out", tmp_path / file)


def test_compose_by_a_method(
    command: Command, fails: Callable[..., str], store: Path, tmp_path: Path, on: tuple[str, ...]
) -> None:
    expression, by = "0.6*headlines[en] + 0.4*(news[pt] - news[en])", ("--space", "delta", "--method", "tsv")
    facts = command("compose", expression, *by, "--store", store, "--name", "made[pt]", "--json").json
    assert facts["space"] == "delta, tsv:keep=1"
    assert command("vectors", "show", "made[pt]", "--store", store, "--json").json["origin"]["space"] == facts["space"]
    command("export", expression, *by, "--format", "serving", "--store", store, "--out", tmp_path / "served")
    assert json.loads((tmp_path / "served" / "lingarith.json").read_text())["space"] == facts["space"]
    plain = command("generate", expression, "one", "--space", "delta", *on).out
    assert command("generate", expression, "one", *by, *on).out == command("generate", "made[pt]", "one", *on).out
    assert command("generate", expression, "one", "--space", "delta", "--method", "sum", *on).out == plain
    torn = command("compose", expression, "--space", "delta", "--method", "ties", "--store", store).out
    assert "of it lost by the projection on the terms' own spaces" in torn
    said = fails("compose", expression, "--method", "tsv", "--store", store)
    assert said.startswith("'tsv' merges exact updates, and sums are taken in 'factors'; give --space delta")


# ---------------------------------------------------------------- choose


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("by", ["oracle", "unlabelled"])
def test_choose(by: str, command: Command, on: tuple[str, ...]) -> None:
    words = ("choose", "pt", "--validation-limit", "2", "--choose-by", by, *on)
    facts = command(*words, "--equation", "uncoupled", "--json").json
    assert (facts["target"], facts["method"], facts["protocol"]) == ("pt", "uncoupled", by)
    assert [weight for weight, _ in facts["curve"]] == [0.0, 1.0]
    assert facts["weight"] in (0.0, 1.0)
    said = command(*words).out
    assert "← chosen" in said
    assert ("λ  ROUGE-2" in said, "λ  Value" in said) == (by == "oracle", by == "unlabelled")
    assert f"pt, protocol '{by}': " in said
    assert ("without any label" in said) == (by == "unlabelled")
    assert ("λ  Likelihood" in command(*words, "--search", "loss").out) == (by == "oracle")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("pt", "--choose-by", "orakle"), "'choose_by' knows no 'orakle'; did you mean oracle?"),
        (("pt", "--method", "add_subtract"), "no way to merge is named 'add_subtract'"),
        (("pt", "--equation", "add-subtract"), "no method with a weight is named 'add-subtract'; did you mean"),
        (("en",), "en is a target and a source"),
        (("pu",), "no vector named 'news[pu]'"),
        (("pt", "--source", "fr"), "no vector named 'headlines[fr]'"),
        (("pt", "--choose-by", "sources"), "protocol 'sources' lets each labelled source play"),
        (("pt", "--search", "los"), "'search' knows no 'los'; did you mean loss?"),
        (("pt", "--validation-limit", "0"), "validation_limit is 0"),
        (("pt", "--space", "factor"), "no space named 'factor'; did you mean factors?"),
        (("pt", "--validation-limit", "2", "--score-model", "/nowhere.model"), "cannot read the SentencePiece model"),
    ],
)
def test_what_cannot_be_chosen(
    words: tuple[str, ...], sentence: str, fails: Callable[..., str], on: tuple[str, ...]
) -> None:
    assert fails("choose", *words, *on).startswith(sentence)


# ---------------------------------------------------------------- evaluate


def test_evaluate(command: Command, on: tuple[str, ...], tmp_path: Path) -> None:
    records = tmp_path / "new/folder/records.jsonl"
    words = ("evaluate", EXPRESSION, "pt", "--test-limit", "3", "--baseline", "headlines[en]", *on)
    facts = command(*words, "--records", records, "--json").json
    against = facts["against"]
    assert (facts["expression"], against["expression"], facts["examples"]) == (EXPRESSION, "headlines[en]", 3)
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["test-0", "test-1", "test-2"]
    assert facts["score"] == pytest.approx(sum(line["score"] for line in lines) / 3)
    assert facts["interval"][0] <= facts["score"] <= facts["interval"][1]
    assert against["gain"] == pytest.approx(facts["score"] - against["score"])
    assert sum(facts["kinds"].values()) == pytest.approx(1)
    said = command(*words).out
    assert f"{EXPRESSION} in factors, pt test, 3 examples" in said
    assert "against headlines[en]" in said


def test_a_cut_is_judged_by_the_expression_and_not_by_its_baseline(command: Command, on: tuple[str, ...]) -> None:
    words = ("evaluate", EXPRESSION, "pt", "--test-limit", "1", "--space", "delta", "--rank-out", "8")
    assert command(*words, "--baseline", "headlines[en]", *on).code == 0


def test_evaluate_the_bare_backbone(command: Command, on: tuple[str, ...]) -> None:
    assert command("evaluate", "0", "pt", "--test-limit", "1", *on, "--json").json["expression"] == "0"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("news[pd]", "pt"), "no vector named 'news[pd]'"),
        (("news[pt]", "xx"), "the newsroom does not write 'xx'"),
        (("news[pt]", "pt", "--split", "train"), "vectors are trained on the split 'train'"),
        (("news[pt]", "pt", "--split", "tests"), "there is no split 'tests'; did you mean test?"),
        (("news[pt]", "pt", "--space", "deltas"), "no space named 'deltas'; did you mean delta?"),
        (("news[pt]", "pt", "--labels", "nowhere/{language}/{split}.jsonl"), "no file matches"),
        (("news[pt]", "pt", "--space", "delta", "--rank-out", "5"), "rank 5 is too high: the exact sum has rank 4"),
        (("news[pt]", "pt", "--beams", "0"), "beams=0 must be at least 1"),
        (("news[pt]", "pt", "--score-model", "/nowhere.model"), "cannot read the SentencePiece model /nowhere.model"),
        (("news[pt]", "pt", "--dtype", "float33"), "no type of weights is named 'float33'"),
    ],
)
def test_what_cannot_be_evaluated(
    words: tuple[str, ...], sentence: str, fails: Callable[..., str], on: tuple[str, ...]
) -> None:
    assert fails("evaluate", *words, "--test-limit", "1", *on).startswith(sentence)


def test_a_baseline_is_an_expression(command: Command, on: tuple[str, ...]) -> None:
    words = ("evaluate", "news[pt]", "pt", "--test-limit", "1", *on, "--baseline")
    done = command(*words, "")
    assert (done.code, done.err) == (2, "error: the expression is empty; 0 is the combination of nothing\n")
    assert command(*words, "0", "--json").json["against"]["expression"] == "0"  # the bare backbone


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "news[pt]", "pt", "--test-limit", "1"),
        ("generate", "news[pt]", "Olá."),
        ("train", "language", "uk", "--on", "news[pt]"),
        ("vectors", "gram", "news[pt]"),
    ],
)
def test_vectors_of_another_backbone_are_refused(
    words: tuple[str, ...], fails: Callable[..., str], other_backbone: Path, trained: Path
) -> None:
    said = fails(*words, "-b", other_backbone, "--store", trained)
    assert said.startswith(f"'news[pt]' in {trained} belongs to backbone ")
    assert "its weights are others" in said or " here" in said  # the vector's origin says what its backbone is made of


def test_vectors_of_two_backbones_are_not_added(
    command: Command, fails: Callable[..., str], other_backbone: Path, store: Path, training: tuple[str, ...]
) -> None:
    words = ("train", "language", "uk", "--characters", "500", *training, "--store", store)
    assert command(*words, "-b", other_backbone).code == 0
    assert "belong to different backbones" in fails("compose", "news[pt] + news[uk]", "--store", store)


# ---------------------------------------------------------------- generate


def test_generate(command: Command, on: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same articles as arguments, from a file and from standard input."""
    articles = ["A ponte nova foi aberta.", "Choveu durante uma semana inteira no norte."]
    words = ("generate", EXPRESSION, "--max-output", "5", *on)
    made = command(*words, *articles, "--json").json
    assert [one["input"] for one in made] == articles
    (tmp_path / "articles.jsonl").write_text("".join(json.dumps({"body": article}) + "\n" for article in articles))
    assert command(*words, "--file", tmp_path / "articles.jsonl", "--fields", "text=body", "--json").json == made
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([f"\ufeff{articles[0]}", "", "\u200b", articles[1]])))
    lines = [made[0], *({"input": blank, "output": ""} for blank in ("", "\u200b")), made[1]]
    assert command(*words, "--json").json == lines
    assert command(*words, *articles).out.split("\n") == [*(one["output"] for one in made), ""]


def test_prompts_with_line_breaks_and_languages(
    command: Command, fails: Callable[..., str], on: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a shell passes on as a backslash and n is a line break for the model; outputs stay on their line."""
    read: list[str] = []

    def write(backbone: object, inputs: list[Asked], *_: object, **__: object) -> list[str]:
        read.extend(one.text for one in inputs)
        return ["two\nlines"]

    monkeypatch.setattr("lingarith.study.evaluate.generate", write)
    words = ("generate", "news[pt]", "Olá.", "--prompt", "{text}\\nIn {language_name}:", *on)
    assert command(*words, "--lang", "pt").out == "two lines\n"
    assert read == ["Olá.\nIn Portuguese:"]
    assert "names the language; say by --lang which it is" in fails(*words)
    assert "reads question and context; give a --file" in fails("generate", "0", "Olá.", "--task", "questions", *on)


def test_labels_of_no_language(command: Command, on: tuple[str, ...]) -> None:
    words = ("evaluate", EXPRESSION, "pt", "--task", "topics", "--test-limit", "2", *on)
    facts = command(*words, "--json").json
    assert (facts["metric"], facts["kinds"], list(facts["beside"])) == ("Accuracy", {}, ["Macro-F1"])
    said = command(*words).out
    assert "Accuracy 0.0" in said
    assert "outputs:" not in said


def test_outputs_are_kept(
    command: Command, fails: Callable[..., str], on: tuple[str, ...], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written once is read from the store, and refused where somebody changed it there."""
    words = ("evaluate", EXPRESSION, "pt", "--test-limit", "2", *on, "--json")
    first = command(*words)
    [kept] = (store / "outputs").glob("*.json")
    monkeypatch.setattr("lingarith.study.outputs.generate_each", None)
    assert command(*words).json == first.json
    kept.write_text(kept.read_text().replace('"score": 0.0', '"score": 50.0'))
    assert "was changed, or belongs in another place; delete it and run the same command again" in fails(*words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "there is no article"),
        (("Olá.", "--prompt", "summarize"), "the prompt 'summarize' does not say where the article goes"),
        (("--file", "nowhere.txt"), "there is no file nowhere.txt"),
        (("--file", "nowhere.pdf"), "there is no file nowhere.pdf"),
        (("Olá.", "--space", "delta", "--rank-out", "5"), "rank 5 is too high: the exact sum has rank 4"),
        (("Olá.", "--max-output", "0"), "max_output=0 must be at least 1"),
    ],
)
def test_nothing_to_generate_from(
    words: tuple[str, ...],
    sentence: str,
    fails: Callable[..., str],
    on: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(" \n"))
    assert fails("generate", "news[pt]", *words, *on).startswith(sentence)


def test_standard_input_that_is_no_text(
    fails: Callable[..., str], on: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Ol\xe1.\n"), encoding="utf-8"))
    assert fails("generate", "news[pt]", *on).startswith("standard input is not UTF-8")

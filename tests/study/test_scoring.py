"""Scores and kinds of outputs by hand, for tasks that write the target, a fixed language, or labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.scores.rouge import SentencePieceTokenizer
from lingarith.scores.units import Units
from lingarith.study.scoring import Scoring
from lingarith.text.labelled import Labelled, TaskExample
from lingarith.text.tasks import TASKS

TEXT = "O presidente visitou a cidade depois das eleições e falou com os moradores."
RIGHT = "A ponte nova foi aberta ontem"
ENGLISH = "The president visited the city after the elections"


@pytest.fixture(autouse=True, scope="module")
def _letters() -> None:
    """The scores of users."""


@pytest.fixture
def scoring(backbone: Backbone) -> Scoring:
    return Scoring(TASKS["summaries"], backbone)


def labelled(language: str = "pt") -> Labelled:
    examples = tuple(TaskExample(f"test-{k}", f"summarize: {TEXT}", RIGHT, TEXT) for k in range(2))
    return Labelled("summaries", language, "test", "here", examples, "f")


def kinds(scoring: Scoring, outputs: list[str], language: str, sources: tuple[str, ...] = ("en",)) -> list[str]:
    return [outcome.kind for outcome in scoring.score(outputs, labelled(language), sources)]


def test_outcomes_by_hand(scoring: Scoring) -> None:
    right, wrong = scoring.score([RIGHT, ENGLISH], labelled(), ["en"])
    assert (right.id, right.output, right.score, right.kind) == ("test-0", RIGHT, 100.0, "target")
    assert (wrong.id, wrong.output, wrong.kind) == ("test-1", ENGLISH, "source")
    assert wrong.score < 20
    assert kinds(scoring, ["", TEXT], "pt") == ["empty", "copied"]


def test_an_output_is_in_the_language_of_those_labels_alone_that_stand_in_the_sum(scoring: Scoring) -> None:
    assert kinds(scoring, [ENGLISH, ENGLISH], "pt", ()) == ["other", "other"]
    assert kinds(scoring, [ENGLISH, ENGLISH], "pt", ("pt", "en")) == ["source", "source"]


def test_a_language_with_a_region_is_recognised(scoring: Scoring) -> None:
    """The identifier knows de, and pt-BR by its first part."""
    german = "Der Präsident besuchte die Stadt nach den Wahlen"
    assert kinds(scoring, [german, german], "de-AT") == ["target", "target"]
    assert kinds(scoring, [RIGHT, RIGHT], "pt-BR") == ["target", "target"]
    assert kinds(scoring, [RIGHT, RIGHT], "ceb") == ["other", "other"]  # which it does not know


def test_several_references_are_all_right(backbone: Backbone) -> None:
    answers = replace(labelled(), examples=(TaskExample("a", "q", "1775", TEXT, ("em 1775", "o ano 1775")),))
    [outcome] = Scoring(TASKS["questions"], backbone).score(["em 1775"], answers, [])
    assert outcome.score == 100.0


def test_labels_have_no_language(backbone: Backbone) -> None:
    topics = Scoring(TASKS["topics"], backbone)
    assert topics.language("pt") == ""
    assert [(o.score, o.kind) for o in topics.score([RIGHT.upper(), ENGLISH], labelled(), ["en"])] == [
        (100.0, ""), (0.0, ""),
    ]  # fmt: skip


def test_translations_are_to_be_in_english(backbone: Backbone) -> None:
    translations = Scoring(TASKS["translations"], backbone)
    assert translations.language("pt") == "en"
    assert kinds(translations, [ENGLISH, RIGHT], "pt", ("pt",)) == ["target", "source"]


# ---------------------------------------------------------------- how scores are counted


def test_how_outputs_are_cut_is_said(scoring: Scoring, backbone: Backbone) -> None:
    assert scoring.tokenizer("en") is None
    assert scoring.said("en") == "ROUGE-2 F of rouge_score with its English tokenizer, no stemmer"
    assert scoring.said("fa") == f"ROUGE-2 F over the pieces of the backbone's own tokenizer ({backbone.name})"
    own = scoring.tokenizer("fa")
    assert own is not None
    assert own.tokenize(RIGHT) == backbone.tokenizer.tokenize(RIGHT)
    questions = Scoring(TASKS["questions"], backbone)
    assert (questions.said("fa"), questions.tokenizer("fa")) == ("F1 over words, normalised as SQuAD does", None)


def test_what_the_tokenizer_does_not_know_is_said(backbone: Backbone) -> None:
    """A tokenizer with bytes for what it lacks; a reference of 12 letters of Georgian, three bytes each."""

    class Pieces:
        def tokenize(self, text: str) -> list[str]:
            known = text.isascii()
            return text.split() if known else [f"<0x{byte:02X}>" for byte in text.encode()]

    scoring = Scoring(TASKS["summaries"], replace(backbone, tokenizer=Pieces()))  # type: ignore[arg-type]
    data = labelled("ka")
    assert scoring.said_of(data) == scoring.said("ka")
    examples = tuple(
        replace(one, target=text) for one, text in zip(data.examples, ("ახალი ხიდი გახ", "a b"), strict=True)
    )
    assert scoring.said_of(replace(data, examples=examples)) == (
        f"{scoring.said('ka')}; 90 % of the references' pieces are less than a letter, and words with such a piece "
        "count whole (characters, where no spaces stand between words)"
    )
    alike = replace(data, examples=(examples[0],) * 2)
    assert [one.score for one in scoring.score(["ახალი ხიდი გახ", "ილაჰა იდიხ"], alike, [])] == [100, 0]
    assert scoring.said_of(replace(data, language="en", examples=examples)) == scoring.said("en")


def test_a_model_of_pieces(scoring: Scoring, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(f"{TEXT}\n{RIGHT}\n" * 5)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "spiece"), vocab_size=40, minloglevel=2
    )
    model = SentencePieceTokenizer(tmp_path / "spiece.model")
    given = replace(scoring, model=model)
    assert given.tokenizer("pt") == Units(model)
    assert given.tokenizer("en") is None
    assert given.said("pt") == f"ROUGE-2 F over pieces of spiece.model (sha256 {model.sha256[:12]})"


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_a_bad_model_is_an_error_before_anything_is_generated(content: bytes | None, lab: Any, tmp_path: Path) -> None:
    path = tmp_path / "spiece.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LingarithError, match=r"spiece\.model"):
        lab(score_model=str(path)).scoring("summaries")


# ---------------------------------------------------------------- metrics of one's own


@pytest.fixture
def own(backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``own(text, name)``: how outputs are scored by a function of a module with that text."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(text: str, name: str) -> Scoring:
        (tmp_path / f"{name}.py").write_text(text)
        return Scoring(replace(TASKS["topics"], metric=f"{name}:half"), backbone)

    return make


def test_a_function_of_one_s_own(own: Any) -> None:
    half = own("def half(outputs, references):\n    return [50.0 for _ in outputs]\n", "scoring_half")
    assert (half.metric.name, half.said("pt")) == ("half", "scoring_half:half, 0 to 100")
    assert [outcome.score for outcome in half.score(["a", "b"], labelled(), [])] == [50.0, 50.0]
    other = own("def half(outputs, references):\n    return [49.0 for _ in outputs]\n", "scoring_other")
    assert len({half.version, other.version}) == 2  # what it was before an edit is another metric


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("rogue2", r"there is no metric 'rogue2'; did you mean rouge2\?"),
        ("no_such_module:half", r"the metric 'no_such_module:half' cannot be imported .*PYTHONPATH"),
        ("textwrap:fil", r"the module of 'textwrap:fil' has no function 'fil'; did you mean fill\?"),
        ("math:sqrt", "the source of the metric 'math:sqrt' cannot be read"),
    ],
)
def test_a_metric_that_is_not_there(metric: str, sentence: str, scoring: Scoring) -> None:
    with pytest.raises(LingarithError, match=sentence):
        _ = replace(scoring, task=replace(TASKS["topics"], metric=metric)).version

"""One text has one form, at every door: data, prompts, tokens, scores."""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.loading import load, wrap
from lingarith.newsroom.pages import page
from lingarith.newsroom.rows import rows
from lingarith.newsroom.writer import LANGUAGES
from lingarith.scores.metrics import METRICS
from lingarith.scores.output import kind_of_output
from lingarith.scores.rouge import CallableTokenizer
from lingarith.text.corpora import plain_text
from lingarith.text.labelled import Labelled
from lingarith.text.rows import fingerprint
from lingarith.text.tasks import TASKS, Task, examples, task_of
from lingarith.unicode import blank, composed, visible

TEXTS = {
    "Vietnamese": "Thủ tướng mở một cây cầu mới ở Hà Nội hôm thứ Hai",
    "Yoruba": "Ọjọ́ Ajé ni wọ́n ṣí afárá tuntun náà ní ìlú Ìbàdàn",
    "Portuguese": "A ministra inaugurou ontem a construção em São João",
    "Korean": "장관이 월요일에 서울에서 새 다리를 열었다",
    "Hindi": "मंत्री ने सोमवार को नए क़िले और सड़क का उद्घाटन किया",  # nukta: NFC takes क़ apart
    "Bengali": "মন্ত্রী সোমবার বড়ো সেতুটি উদ্বোধন করেন যোগাযোগের জন্য",
    "Tamil": "அமைச்சர் திங்களன்று புதிய பாலத்தை கொழும்பில் திறந்தார்",
    "Arabic": "أعلن رئيس الوزراء إطلاق مشروع آخر لمؤسسة الدولة",
    "Hebrew": "רַאשׁ הַמֶּמְשָׁלָה פָּתַח אֶתְמוֹל גֶּשֶׁר חָדָשׁ",
    "Greek": "Ο πρωθυπουργός άνοιξε τη Δευτέρα μια νέα γέφυρα στην Αθήνα",
    "Japanese": "首相は月曜日に東京で新しい橋ががれきの上に開かれたと述べた",
    "Ukrainian": "Міністр відкрив новий міст у Києві, її бачили всі",
}
"""Texts whose letters have marks."""


def letters(text: str) -> list[str]:
    return list(text.replace(" ", ""))


@pytest.fixture(scope="module")
def newsroom() -> Backbone:
    return load("newsroom", device="cpu")


@pytest.fixture(scope="module")
def of_bytes(newsroom: Backbone) -> Backbone:
    """The same with a tokenizer that normalises nothing and knows bytes alone."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = Tokenizer(models.BPE({letter: n for n, letter in enumerate(pre_tokenizers.ByteLevel.alphabet())}, []))
    pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return wrap(newsroom.model, PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="!"), name="bytes")


# ---------------------------------------------------------------- the form itself


@given(st.text())
def test_there_is_one_form_of_a_text(text: str) -> None:
    forms = {composed(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} | {composed(text)}
    assert forms == {unicodedata.normalize("NFC", text)}


def test_what_has_no_shape_is_what_unicode_says() -> None:
    """regex has the property from Unicode's own tables."""
    ignorable = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    assert [one for one in every if not visible(one)] == [one for one in every if ignorable.match(one)]
    unseen = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{White_Space}\p{Cc}\u2800]")
    assert [one for one in every if blank(one)] == [one for one in every if unseen.match(one)]


def test_arabic_by_shape_is_arabic_by_letter() -> None:
    assert visible("ﻣﺪرﺳﺔ ﻻ ﷲ") == "مدرسة لا الله"
    assert composed("ﻣﺪرﺳﺔ") == "ﻣﺪرﺳﺔ"  # the form leaves them: texts keep their fingerprints
    assert visible("ﬁ ² Ａ … ｶﾞ") == "ﬁ ² Ａ … ｶﾞ"  # and other letters are others


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_newsroom_writes_in_that_form(language: str) -> None:
    texts = [page("text", language, number) for number in range(60)]
    texts += [json.dumps(row, ensure_ascii=False) for row in rows(language, "test", 40)]
    assert all(unicodedata.is_normalized("NFC", text) for text in texts)


# ---------------------------------------------------------------- data


def test_two_encodings_are_the_same_data(tmp_path: Path) -> None:
    made = []
    for form in ("NFC", "NFD"):
        folder = tmp_path / form
        folder.mkdir()
        lines = [unicodedata.normalize(form, text) for text in TEXTS.values()]
        (folder / "pt.txt").write_text("\n".join(lines))
        (folder / "test.jsonl").write_text("".join(json.dumps({"text": t, "summary": t[:20]}) + "\n" for t in lines))
        prompt = unicodedata.normalize(form, "Tóm tắt: {text}")
        task = Task("summaries", prompt, "summary")
        text = plain_text(str(folder / "{language}.txt"), "pt", folder=folder)
        data = examples(task, str(folder / "{split}.jsonl"), "pt", "test", folder=folder)
        made.append((text.fingerprint, data.fingerprint, text.documents, [one.input for one in data.examples]))
    assert made[0][:1] + made[0][2:] == made[1][:1] + made[1][2:]
    assert made[0][2] == tuple(map(composed, TEXTS.values()))


def test_labels_and_prompts_of_a_file_are_compared_in_that_form(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", 'prompt="Thể loại: {text}"\ntarget="k"\nlabels=["thể thao"]\nwrites=""\n')
    (tmp_path / "kinds.toml").write_text(decomposed)
    (tmp_path / "test.jsonl").write_text(json.dumps({"text": "Bóng đá", "k": "thể thao"}))
    data = examples(
        task_of(str(tmp_path / "kinds.toml")), str(tmp_path / "{split}.jsonl"), "vi", "test", folder=tmp_path
    )
    assert [(one.input, one.target) for one in data.examples] == [("Thể loại: Bóng đá", "thể thao")]


@pytest.mark.parametrize(
    "nothing", ["\u200b", "\ufeff", "\u00ad", "\ufe0f", "\u00a0\u200d", "\u3164", "\x00", "\u2800"]
)
def test_rows_with_nothing_to_see_are_left_out(tmp_path: Path, nothing: str) -> None:
    lines = [{"text": "a", "summary": nothing}, {"text": nothing, "summary": "a"}, {"text": "a", "summary": "b"}]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data: Labelled = examples(TASKS["summaries"], str(tmp_path / "{split}.jsonl"), "pt", "test", folder=tmp_path)
    assert [one.target for one in data.examples] == ["b"]
    (tmp_path / "pt.txt").write_text(nothing)
    with pytest.raises(LingarithError, match=r"holds no text|is empty"):
        plain_text(str(tmp_path / "{language}.txt"), "pt", folder=tmp_path)


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize("which", ["newsroom", "of_bytes"])
def test_two_encodings_are_the_same_tokens(which: str, request: pytest.FixtureRequest) -> None:
    backbone: Backbone = request.getfixturevalue(which)
    for name, text in TEXTS.items():
        one, other = backbone.encode([unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)])
        assert one == other, name
    assert "Thủ tướng" in backbone.tokenizer.decode(backbone.encode([unicodedata.normalize("NFD", "Thủ tướng")])[0])


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "likelihood"])  # its outputs are numbers
@pytest.mark.parametrize("language", TEXTS)
def test_two_encodings_of_one_text_score_100(metric: str, language: str) -> None:
    text, cut = TEXTS[language], CallableTokenizer(letters)
    pairs = [(unicodedata.normalize("NFD", text), text), (text, unicodedata.normalize("NFD", text))]
    if language == "Arabic":
        pairs.append((text.translate(str.maketrans("لمةس", "ﻟﻣﺔﺲ")), text))
    for invisible in "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0f":
        pairs.append((invisible.join(text), text))
        pairs.append((text, f"{text[:5]}{invisible}{text[5:]}"))
    outputs, references = [one for one, _ in pairs], [[other] for _, other in pairs]
    assert list(METRICS[metric].score(outputs, references, cut)) == [pytest.approx(100)] * len(pairs)
    for of in METRICS[metric].beside.values():
        assert of(outputs, references) == pytest.approx(of([text] * len(pairs), [[text]] * len(pairs)))


def test_a_copy_is_one_in_any_encoding() -> None:
    article = TEXTS["Vietnamese"]
    assert kind_of_output("\u200b".join(unicodedata.normalize("NFD", article)), article, "vi", ["en"]) == "copied"


# ---------------------------------------------------------------- real data


@pytest.mark.parametrize("language", ["pt", "fa", "si", "vi", "ko"])
def test_data_that_have_the_form_keep_their_fingerprint(language: str, real_data: Callable[[str], Path]) -> None:
    """As it was before anything was normalised: of stripped texts."""
    folder = real_data("data/summ")
    with gzip.open(folder / language / "test.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    before = [part.strip() for row in rows for part in (f"summarize: {row['text'].strip()}", row["summary"])]
    source = str(folder / "{language}" / "{split}.jsonl.gz")
    data = examples(TASKS["summaries"], source, language, "test", folder=folder)
    assert len(data.examples) == len(rows)
    assert data.fingerprint == fingerprint(before)


def test_real_text_without_the_form_gets_it(real_data: Callable[[str], Path]) -> None:
    folder = real_data("data/ner_masakhaner2_nc")
    data = examples(
        TASKS["entities"], str(folder / "{language}" / "{split}.jsonl.gz"), "yo", "validation", folder=folder
    )
    with gzip.open(folder / "yo/val.jsonl.gz", "rt") as lines:
        assert sum(not unicodedata.is_normalized("NFC", line) for line in lines) == 299
    for one in data.examples:
        assert unicodedata.is_normalized("NFC", one.input + one.target + one.article)

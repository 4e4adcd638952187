"""Languages by their code."""

from __future__ import annotations

import unicodedata

import langcodes
import pytest
from babel import Locale, UnknownLocaleError
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.languages.codes import (
    OF_THE_PAPER,
    SEEN,
    UNSEEN,
    counterpart,
    known,
    language,
    language_name,
    right_to_left,
    spoken,
    standard,
    variety,
)
from lingarith.text import hub

SCRIPTS = (
    "Arab Beng Latn Jpan Kore Latn Latn Cyrl Telu Thai Latn Deva Gujr Hans Deva Latn Sinh Latn Latn Latn Cyrl Arab Latn"
)


def test_the_paper_s_languages() -> None:
    assert (len(SEEN), len(UNSEEN)) == (11, 11)
    assert not set(SEEN) & set(UNSEEN)
    assert {"en", "th", "tr"} <= set(SEEN)
    assert {"pt", "yo", "fa"} <= set(UNSEEN)
    assert all(language_name(code) != code for code in (*SEEN, *UNSEEN))


def test_the_paper_s_languages_by_their_standards() -> None:
    found = [language(code) for code in OF_THE_PAPER]
    assert [one.code for one in found] == list(OF_THE_PAPER)
    iso = "ara ben eng jpn kor ind swa rus tel tha tur mar guj zho nep por sin som vie yor ukr fas fin"
    assert " ".join(one.iso639_3 for one in found) == iso
    assert " ".join(one.script for one in found) == SCRIPTS


def test_macro_languages_and_what_they_mostly_stand_for() -> None:
    individual = {code: language(code, individual=True).iso639_3 for code in OF_THE_PAPER}
    changed = {code: iso for code, iso in individual.items() if iso != language(code).iso639_3}
    assert changed == {"ar": "arb", "zh": "cmn", "fa": "pes", "sw": "swh", "ne": "npi"}
    assert language("arb").iso639_3 == language("arb", individual=True).iso639_3 == "arb"
    assert language("zh-Hant", individual=True).iso639_3 == "cmn"
    assert language("ku", individual=True).iso639_3 == "kmr"


@pytest.mark.parametrize(
    ("given_name", "code", "script", "name"),
    [
        ("por", "pt", "Latn", "Portuguese"),
        ("PT", "pt", "Latn", "Portuguese"),
        ("pt_BR", "pt-BR", "Latn", "Portuguese (Brazil)"),
        ("zh-TW", "zh-TW", "Hant", "Chinese (Traditional, Taiwan)"),
        ("sr", "sr", "Cyrl", "Serbian"),
        ("sr-Latn", "sr-Latn", "Latn", "Serbian (Latin)"),
        ("cmn", "cmn", "Hans", "Mandarin Chinese"),
        ("iw", "he", "Hebr", "Hebrew"),
        ("Bengali", "bn", "Beng", "Bangla"),
        ("yoruba", "yo", "Latn", "Yoruba"),
        ("mandarin chinese", "cmn", "Hans", "Mandarin Chinese"),
        ("qaa", "qaa", "Zzzz", "qaa"),
    ],
)
def test_many_spellings(given_name: str, code: str, script: str, name: str) -> None:
    found = language(given_name)
    assert (found.code, found.script, found.name) == (code, script, name)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("Portugese", "no language is called 'Portugese'; did you mean pt (Portuguese)"),
        ("Mandarin", "no language is called 'Mandarin'; did you mean cmn (Mandarin Chinese)?"),
        ("Sami", "no language is called 'Sami'; did you mean se (Northern Sami) or sia"),
        ("xx", "no language is called 'xx'; give a code such as pt or zh-Hans, or an English name"),
        (
            "Brazilian Portugese",
            "no language is called 'Brazilian Portugese'; did you mean pt (Portuguese) or pt-BR (Portuguese (Brazil))",
        ),
        ("und", "no language is called 'und'"),
        ("", "no language is called ''; give a code such as pt or zh-Hans, or an English name"),
        ("../pt", "no language is called '../pt'"),
        ("Ga", "'Ga' may be ga (Irish) or gaa (Ga); give the code"),
    ],
)
def test_what_is_no_language_or_several(wrong: str, sentence: str) -> None:
    with pytest.raises(LingarithError) as problem:
        language(wrong)
    assert str(problem.value).startswith(sentence)


def test_a_code_is_not_taken_for_a_name() -> None:
    assert language("ga").name == "Irish"
    assert language("kom").name == "Komi"


def test_a_macro_language_that_stands_for_no_single_one() -> None:
    assert language("no").iso639_3 == "nor"
    with pytest.raises(LingarithError, match=r"macro-language .* name one of nb \(Norwegian Bokmål\) or nn \(Norw"):
        language("no", individual=True)


SUBTAGS = st.sampled_from(
    "pt PT zh no qaa xx x sgn arb Hans Latn BR 419 001 min nan u nu private 1994 i default".split()
)


@settings(deadline=None, max_examples=60)
@given(
    st.text(max_size=8) | st.lists(SUBTAGS, min_size=1, max_size=4).map("-".join),
    st.booleans(),
)
def test_any_text_is_a_language_or_a_mistake(text: str, individual: bool) -> None:
    try:
        found = language(text, individual=individual)
    except LingarithError:
        return
    assert language(found.code).code == found.code
    assert len(found.iso639_3) == 3
    assert len(found.script) == 4


@pytest.mark.parametrize(
    ("code", "name"),
    [("uk", "Ukrainian"), ("yo", "Yoruba"), ("pt-BR", "Portuguese (Brazil)"), ("zh-Hant", "Chinese (Traditional)")],
)
def test_names(code: str, name: str) -> None:
    assert language_name(code) == name


SPELLINGS = ("{}", "{}-{s}", "{}_{s}", "{i}", "{i}_{s}", "{n}")


@pytest.mark.parametrize("code", OF_THE_PAPER)
def test_however_a_language_is_spelt_it_is_one_variety_and_a_dialect_another(code: str) -> None:
    one, individual = language(code), language(code, individual=True)
    for iso in (one.iso639_3, individual.iso639_3):
        said = {spelling.format(code, s=one.script, i=iso, n=one.name) for spelling in SPELLINGS}
        assert {variety(text) for text in said} == {code}
    others = {variety(f"{code}-{more}") for more in ("001", "Brai", "Brai-001", "x-mine", "1994")}
    assert len(others) == 5
    assert code not in others


@given(st.lists(SUBTAGS, min_size=1, max_size=4).map("-".join))
@settings(deadline=None, max_examples=60)
def test_a_variety_is_no_coarser_than_the_code_and_no_finer_than_the_language(text: str) -> None:
    if (meant := known(text)) is not None:
        assert variety(text) == variety(meant.code)
        assert variety(text).startswith(standard(text))


def test_who_writes_from_right_to_left() -> None:
    assert {code for code in (*SEEN, *UNSEEN) if right_to_left(code)} == {"ar", "fa"}
    assert right_to_left("he")
    assert not right_to_left("az-Latn")


@given(st.text(max_size=12))
def test_anything_has_a_name(code: str) -> None:
    """What is no language is called by its code, and is no error."""
    assert isinstance(language_name(code), str)
    assert right_to_left(code) in (True, False)


@pytest.mark.parametrize("code", ["", "qaa", "x", "not a code", "zz-ZZ-zz", "../pt"])
def test_what_is_no_language_keeps_its_code(code: str) -> None:
    assert language_name(code) == code


# ---------------------------------------------------------------- one language under many codes

ALIKE = {
    "he": "iw heb heb_Hebr he-IL Hebrew",
    "id": "in ind ind_Latn Indonesian id_ID",
    "jv": "jw jav jav_Latn",
    "fil": "tl fil_Latn Filipino",
    "no": "nb nob nob_Latn nor",
    "nn": "nno nno_Latn",
    "pt": "por por_Latn pt-BR pt_PT PT Portuguese",
    "zh": "zh_CN zh-Hans zho cmn cmn_Hani cmn_Hans zh-SG",
    "zh-Hant": "zh_TW zh-HK zho_Hant cmn_Hant",
    "ar": "ara arb arb_Arab ar-EG",
    "fa": "fas pes pes_Arab fas_Arab Persian",
    "sw": "swa swh swh_Latn",
    "ne": "nep npi npi_Deva",
    "sr": "srp srp_Cyrl",
    "sr-Latn": "srp_Latn sr_Latn sh hbs",
    "ko": "kor kor_Hang ko-KR",
    "ja": "jpn jpn_Jpan",
    "en": "eng eng_Latn en-US en_GB",
    "ro": "mo ron",
    "az": "aze azj azj_Latn",
    "yi": "ji yid ydd ydd_Hebr",
}


@pytest.mark.parametrize("code", ALIKE)
def test_many_codes_are_one_language(code: str) -> None:
    for other in (code, *ALIKE[code].split()):
        assert standard(other) == code, other
        assert counterpart(other, ["xx", code]) == code
        assert counterpart(code, ["xx", other]) == other
        assert right_to_left(other) == (code in ("he", "ar", "fa", "yi"))
        assert language_name(other) != other or other == language_name(code)


def test_others_are_others() -> None:
    several = [*ALIKE, "yue", "wuu", "arz", "ckb", "ms", "hr", "bs", "gu", "pa", "pa-Arab", "uz-Cyrl"]
    codes = [standard(code) for code in several]
    assert len(set(codes)) == len(codes)
    assert counterpart("sr-Latn", ["sr"]) is None
    assert spoken("sr-Latn") == spoken("sr_Cyrl") == "sr"
    assert [standard(text) for text in ("xx", "", "../pt", "und")] == ["xx", "", "../pt", "und"]


def test_standards_hold_by_three_letters_too() -> None:
    """langcodes gives the three letters."""
    for code in hub.languages("mc4"):
        if code != "und":
            plain, _, script = code.partition("-")
            assert standard(f"{langcodes.get(plain).to_alpha3()}_{script}".strip("_")) == standard(code)


def test_a_name_may_be_decomposed() -> None:
    assert language(unicodedata.normalize("NFD", "Norwegian Bokmål")) == language("nb")


def test_scripts_from_right_to_left_are_those_of_unicode() -> None:
    """By the direction of a letter of each language's own name, as CLDR has it."""
    for code in Locale("en").languages:
        try:
            own = Locale.parse(code).get_display_name(code) or ""
        except (ValueError, UnknownLocaleError):
            continue
        directions = {unicodedata.bidirectional(letter) for letter in own}
        if directions & {"L", "R", "AL"}:
            assert right_to_left(code) == bool(directions & {"R", "AL"}), code

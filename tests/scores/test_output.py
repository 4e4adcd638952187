import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.scores.output import KINDS, kind_of_output, known_languages, language_of, recognisable, shares

ARTICLE = (
    "O presidente visitou ontem a cidade do Porto depois das eleições. "
    "Segundo as autoridades, mais de duas mil pessoas participaram na cerimónia."
)
PORTUGUESE = "O governo anunciou novas medidas para a economia do país."
ENGLISH = "The government announced new measures for the economy."
GERMAN = "Die Regierung hat neue Maßnahmen für die Wirtschaft angekündigt."
SENTENCES = {
    "en": ENGLISH,
    "pt": PORTUGUESE,
    "uk": "Уряд оголосив про нові заходи для підтримки економіки країни.",
    "ru": "Правительство объявило о новых мерах поддержки экономики страны.",
    "zh": "政府宣布了促进经济发展的新措施。",
    "fa": "دولت اقدامات تازه‌ای برای اقتصاد کشور اعلام کرد.",
}


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (PORTUGUESE, "target"),
        (ENGLISH, "source"),
        (GERMAN, "other"),
        ("", "empty"),
        (" \n", "empty"),
        ("… — ! ؟", "empty"),
        ("2023", "other"),
        ("Segundo as  autoridades, mais\nde duas mil pessoas", "copied"),
        ("Hoje: segundo as autoridades, mais de duas mil pessoas participaram na cerimónia.", "copied"),
        ("Mais de duas mil pessoas acompanharam a visita do presidente à cidade.", "target"),
    ],
)
def test_kinds(output, kind):
    assert kind_of_output(output, ARTICLE, "pt-BR", ["en"]) == kind


def test_a_short_stretch_is_no_copy():
    assert kind_of_output("a cidade do Porto depois das", ARTICLE, "pt", ["en"], candidates=["pt", "en"]) == "target"


def test_a_wide_character_counts_two_columns():
    article = "政府昨天宣布了促进经济发展的新措施。其他消息。"
    assert kind_of_output(article[:18], article, "zh-Hans", ["en"]) == "copied"
    assert kind_of_output(article[:8], article, "zh-Hans", ["en"], candidates=["zh", "en"]) == "target"


def test_a_source_may_be_given_alone():
    assert kind_of_output(ENGLISH, ARTICLE, "pt", "en") == "source"


@pytest.mark.parametrize("language", SENTENCES)
def test_language_of_a_sentence(language):
    assert language_of(SENTENCES[language]) == language


HEBREW, NORWEGIAN = "ראש הממשלה פתח אתמול גשר חדש בעיר", "Statsministeren åpnet i går en ny bro i byen"
INDONESIAN = "Perdana menteri meresmikan jembatan baru di kota itu kemarin"
SERBIAN = "Danas je otvoren novi most preko reke, a predsednik vlade rekao je da će saobraćaj biti brži"
FILIPINO = "Pinasinayaan ng punong ministro ang bagong tulay sa lungsod kahapon"


@pytest.mark.parametrize(
    ("output", "codes"),
    [
        (HEBREW, "iw he heb heb_Hebr he-IL"),
        (NORWEGIAN, "nb no nob_Latn"),
        (INDONESIAN, "in id ind_Latn"),
        (FILIPINO, "tl fil fil_Latn"),
        (PORTUGUESE, "pt por_Latn pt_BR"),
        (SERBIAN, "sr-Latn sr_Latn"),
        (SENTENCES["zh"], "zh zh_CN zh-Hans cmn_Hani"),
    ],
)
def test_kinds_by_any_code(output, codes):
    for code in codes.split():
        assert recognisable(code)
        assert kind_of_output(output, "x", code, ["en"], [code, "en", "de"]) == "target", code
        assert kind_of_output(output, "x", "de", [code], ["de", code, "en"]) == "source", code


def test_a_number_is_in_no_language_and_no_target():
    assert kind_of_output("2023", "x", "xx", ["yy"]) == "other"
    assert not recognisable("xx")


def test_candidates_are_all_that_is_considered():
    assert language_of(GERMAN) == "de"
    assert language_of(GERMAN, ["zh-Hans", "en"]) == "en"
    assert language_of("12345") is None
    with pytest.raises(LingarithError, match="does not know the language 'xx'"):
        language_of(GERMAN, ["de", "xx"])
    with pytest.raises(LingarithError, match="at least one"):
        language_of(GERMAN, [])


def test_the_languages_of_the_paper_are_known():
    seen, unseen = "ar bn en ja ko id sw ru te th tr fi", "mr gu zh ne pt si so vi yo uk fa"
    assert {*seen.split(), *unseen.split()} <= known_languages()


@given(st.lists(st.sampled_from(KINDS), min_size=1))
def test_shares_sum_to_one(kinds):
    found = shares(kinds)
    assert tuple(found) == KINDS
    assert sum(found.values()) == pytest.approx(1)
    assert all(found[kind] * len(kinds) == pytest.approx(kinds.count(kind)) for kind in KINDS)


def test_shares_of_nothing_or_of_the_unknown():
    with pytest.raises(LingarithError, match="at least one"):
        shares([])
    with pytest.raises(LingarithError, match="did you mean target"):
        shares(["targets"])


def test_importing_the_scores_loads_no_heavy_library():
    code = (
        "import sys, lingarith.scores.output, lingarith.scores.rouge, lingarith.scores.resample;"
        "assert not {'torch', 'transformers', 'py3langid', 'nltk', 'sentencepiece'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

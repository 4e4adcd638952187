"""Languages by their BCP-47 code, and the paper's two sets."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from ..errors import LingarithError
from ..unicode import composed

SEEN = tuple("ar bn en ja ko id sw ru te th tr".split())
"""Languages with summaries to train on (XL-Sum-seen in the paper)."""
UNSEEN = tuple("mr gu zh ne pt si so vi yo uk fa".split())
"""Languages that are evaluated without labels (XL-Sum-unseen)."""
OF_THE_PAPER = (*SEEN, *UNSEEN, "fi")
"""All that the paper works on: those of XL-Sum, and Finnish, which only TyDi QA has."""

NOT_KNOWN = "Zzzz"
"""ISO 15924 for a script that nobody says."""
MOSTLY = {"nb": "no", "pbt": "ps"}
"""A language and the macro-language that is mostly it, where CLDR's data do not say so."""
WRITTEN = {"Hani": ("Hans", "Hant"), "Hang": ("Kore",), "Aran": ("Arab",)}
"""Scripts as data sets call them (``cmn_Hani``, ``kor_Hang``), and what CLDR may have instead."""
NO_LANGUAGE = {"mis", "mul", "und", "zxx"}
"""Codes that say that the language is not known, or that there is none."""


@dataclass(frozen=True)
class Language:
    """A language by its standards.

    ``code`` is the BCP-47 tag in its usual spelling (``pt``, ``zh-Hans``), ``iso639_3`` three
    letters, ``script`` what it is mostly written in by ISO 15924 (``Latn``; ``Zzzz`` where CLDR
    does not know), ``name`` the English name.
    """

    code: str
    iso639_3: str
    script: str
    name: str


def language(given: str, *, individual: bool = False) -> Language:
    """The language of a BCP-47 or ISO 639 code, or of an English name.

    ``ar``, ``zh``, ``fa``, ``sw``, ``ne`` and others stand for macro-languages of ISO 639-3, and
    ``iso639_3`` is theirs. With ``individual`` it is that of the one language which CLDR takes such
    a code for. Raises :class:`LingarithError`, with near names, where no language is meant or
    more than one.

    >>> language("pt")
    Language(code='pt', iso639_3='por', script='Latn', name='Portuguese')
    >>> language("fas") == language("fa") == language("Persian")
    True
    >>> language("ar").iso639_3, language("ar", individual=True).iso639_3
    ('ara', 'arb')
    >>> language("por_Latn").code, language("in").code
    ('pt', 'id')
    """
    found = known(given, individual=individual)
    if found is None:
        raise _not_one(given)
    return found


@cache
def known(given: str, *, individual: bool = False) -> Language | None:
    """The same, or None where no language is meant or several are: then nothing is searched for near names.

    >>> known("Persian") == language("fa"), known("xx")
    (True, None)
    """
    import langcodes  # takes half a second

    meant = _meant(composed(given).strip())
    if len(meant) != 1:
        return None
    tag = langcodes.get(meant.pop()).simplify_script()
    plain = tag.language or ""
    macro = tag.prefer_macrolanguage().language or plain
    iso639_3 = langcodes.get(_individual(plain) if individual else plain).to_alpha3()
    return Language(str(tag), iso639_3, tag.script or _script(plain, tag.territory, macro), _name(str(tag), plain))


@cache
def standard(given: str) -> str:
    """The code under which a language is looked for, whatever it is called by whom.

    Old codes, those of three letters, names and regions come to the same: a language as CLDR calls it, a macro-language
    in place of the one that is mostly meant by it, and a script where it is not the language's usual one. So two of
    these are equal where two codes mean one language in one script. What is no language is returned as it is.

    >>> [standard(code) for code in ("iw", "fas", "arb_Arab", "nb", "tl", "en-US", "zh_TW", "sr-Latn", "xx")]
    ['he', 'fa', 'ar', 'no', 'fil', 'en', 'zh-Hant', 'sr-Latn', 'xx']
    """
    import langcodes

    found = known(given)
    if found is None:
        return given
    plain = langcodes.get(langcodes.standardize_tag(found.code, macro=True)).language or given
    plain = MOSTLY.get(plain, plain)
    usual = (found.script, NOT_KNOWN, *WRITTEN.get(found.script, ()))
    return plain if _script(plain, None, plain) in usual else f"{plain}-{found.script}"


def spoken(given: str) -> str:
    """The same whatever the script.

    >>> spoken("sr_Latn"), spoken("zh-TW"), spoken("iw")
    ('sr', 'zh', 'he')
    """
    return standard(given).split("-")[0]


@cache
def variety(given: str) -> str:
    """The same with its region and whatever else tells it apart: two dialects are two, two spellings of a code one.

    >>> [variety(code) for code in ("eng", "por_Latn", "pt_BR", "Portuguese", "zh-Hans", "cmn", "zh_Hant", "de-1996")]
    ['en', 'pt', 'pt-BR', 'pt', 'zh', 'zh', 'zh-Hant', 'de-1996']
    """
    if given in OF_THE_PAPER or (found := known(given)) is None:  # which are as they should be, and need no langcodes
        return given
    import langcodes

    tag = langcodes.get(found.code)
    more = [tag.territory, *(tag.variants or ()), *(tag.extensions or ()), tag.private]
    return "-".join(filter(None, [standard(given), *more]))


def counterpart(given: str, known: Collection[str]) -> str | None:
    """Which of some codes means the same language in the same script; None where none does.

    >>> counterpart("he", ["iw", "pt"]), counterpart("nb", ["no"]), counterpart("sr-Latn", ["sr"])
    ('iw', 'no', None)
    """
    if given in known:
        return given
    wanted = standard(given)
    return wanted if wanted in known else next((code for code in known if standard(code) == wanted), None)


def _meant(given: str) -> set[str]:
    """The codes that may be meant. Capitalised, ``Ga`` may be a code (Irish) as well as a name (gaa)."""
    import langcodes

    spelt = given.replace("_", "-")
    tag = langcodes.get(spelt) if langcodes.tag_is_valid(spelt) else None
    code = str(tag) if tag and len(tag.language or "") in (2, 3) and tag.language not in NO_LANGUAGE else None
    if code and (spelt == code or spelt.islower()):
        return {code}
    return _names().get(given.casefold(), set()) | ({code} if code else set())


def _not_one(given: str) -> LingarithError:
    """Why no one language is meant, with near names."""
    spelt = composed(given).strip()
    if meant := _meant(spelt):
        return LingarithError(f"{spelt!r} may be {_listed(meant)}; give the code")
    near = _listed(_near(spelt))
    hint = f"did you mean {near}?" if near else "give a code such as pt or zh-Hans, or an English name"
    return LingarithError(f"no language is called {spelt!r}; {hint}")


def _individual(code: str) -> str:
    """The language that CLDR takes a macro-language's code for; another code is returned as it is."""
    import langcodes

    members = [member for member, about in _registry().items() if about.get("Macrolanguage") == code]
    taken = [member for member in members if langcodes.standardize_tag(member, macro=True) == code]
    if members and len(taken) != 1:
        raise LingarithError(
            f"'{code}' ({language_name(code)}) is a macro-language and stands for no single one; "
            f"name one of {_listed(members)}"
        )
    return taken[0] if taken else code


def _script(code: str, territory: str | None, macro: str) -> str:
    likely = get_global("likely_subtags")
    found = likely.get(f"{code}_{territory}") or likely.get(code) or likely.get(macro)
    return found.split("_")[1] if found else NOT_KNOWN


def _name(code: str, plain: str) -> str:
    """CLDR's name, or the registry's where CLDR has none."""
    if plain not in Locale("en").languages and plain in _registry():
        return str(_registry()[plain]["Description"][0])
    return _displayed(code)


@cache
def _registry() -> Mapping[str, Mapping[str, Any]]:
    """IANA's registry of language subtags, as langcodes ships it."""
    from langcodes.registry_parser import parse_registry

    entries = {entry["Subtag"]: entry for entry in parse_registry() if entry["Type"] == "language"}  # type: ignore[no-untyped-call]
    return {code: entry for code, entry in entries.items() if "Deprecated" not in entry and code not in NO_LANGUAGE}


@cache
def _names() -> Mapping[str, set[str]]:
    """The codes of each English name, in lower case."""
    found: dict[str, set[str]] = {}
    for code, entry in _registry().items():
        for name in {*entry["Description"], Locale("en").languages.get(code, code)}:
            found.setdefault(composed(name).casefold(), set()).add(code)
    return found


def _near(given: str) -> set[str]:
    """Codes of the languages that have this word in their name, else of common ones spelt alike."""
    wanted = given.casefold()
    near = {code for name, codes in _names().items() if wanted in name.split() for code in codes}
    named = {code.replace("_", "-"): name for code, name in Locale("en").languages.items() if code not in NO_LANGUAGE}
    common = {spelt.casefold(): code for code, name in named.items() for spelt in (code, name)}
    return near or {common[spelt] for spelt in difflib.get_close_matches(wanted, common, n=3)}


def _listed(codes: Iterable[str]) -> str:
    """At most six codes with their names, short codes first."""
    several = sorted(codes, key=lambda code: (len(code), code))[:6]
    return " or ".join(f"{code} ({_name(code, code.split('-')[0])})" for code in several)


@cache
def language_name(code: str) -> str:
    """The English name, or the code itself where nothing has one.

    >>> language_name("pt"), language_name("zh-Hans"), language_name("por_Latn"), language_name("qaa")
    ('Portuguese', 'Chinese (Simplified)', 'Portuguese', 'qaa')
    """
    if code in NO_LANGUAGE:
        return code
    found = _displayed(code)
    if found != code:
        return found
    meant = known(code)
    return meant.name if meant else code


def _displayed(code: str) -> str:
    """CLDR's name of a code, or the code."""
    try:
        return Locale.parse(code, sep="-").get_display_name("en") or code
    except (ValueError, UnknownLocaleError):
        return str(Locale("en").languages.get(code, code))


RIGHT_TO_LEFT = set("Adlm Arab Aran Hebr Mand Nkoo Rohg Samr Syrc Thaa Yezi".split())
"""Scripts in use that are written from right to left."""


def right_to_left(code: str) -> bool:
    """Whether the language is written from right to left.

    >>> right_to_left("fa"), right_to_left("iw"), right_to_left("pt"), right_to_left("ku-Arab")
    (True, True, False, True)
    """
    meant = known(code)
    return meant is not None and meant.script in RIGHT_TO_LEFT

"""Tables that need no model: related languages (Table 5) and the sizes of the data (Table 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from ...errors import MissingData
from ...languages.codes import language_name
from ...languages.related import PRESETS, preset, related
from ...text.corpora import PlainText
from ..actions import SUMMARIES, Workshop
from ..records import Grid
from ..studies import Study


def related_languages(study: Study, shop: Workshop) -> Grid:
    """For each target the sources within the paper's limits, nearest first, beside the paper's Table 5."""
    paper = preset(PRESETS[0])
    rows, notes = [], []
    for target in study.targets:
        found = related(target, study.sources)
        printed = paper.sets.get(target)
        differ = "" if printed is None else " ".join(_differences(found.chosen, printed)) or "the same"
        rows.append([target, " ".join(found.chosen), " ".join(printed or ()), differ])
        notes += [f"{target}: {found.note}."] if found.note else []
    caption = "URIEL: syntactic < 0.7 and geographic < 0.3, nearest first. + only here, − only in the paper."
    return Grid("Related languages", ["", "By URIEL", "Paper", "Difference"], rows, " ".join([caption, *notes]))


def _differences(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    return [f"+{code}" for code in ours if code not in theirs] + [f"−{code}" for code in theirs if code not in ours]


def sizes(study: Study, shop: Workshop) -> Grid:
    """Examples of each split and characters of plain text, by language, as the study's limits have them."""
    rows = []
    for language in (*study.sources, *study.targets):
        counts = [_count(study, shop, language, split) for split in ("train", "validation", "test")]
        rows.append([language_name(language), language, *counts, _characters(study, shop, language)])
    heads = ["Language", "", "Train", "Validation", "Test", "Characters"]
    return Grid("Sizes of the data", heads, rows, f"Labels: {study.task}. Plain text: {study.text}.")


def _count(study: Study, shop: Workshop, language: str, split: str) -> str:
    with suppress(MissingData):
        return f"{len(shop.labelled(study.labels(SUMMARIES, language, split)).examples):,}"
    return "–"


def _characters(study: Study, shop: Workshop, language: str) -> str:
    with suppress(MissingData):
        text = shop.data(study.plain(language))
        assert isinstance(text, PlainText)
        return f"{sum(map(len, text.documents)):,}"
    return "–"


LISTINGS: Mapping[str, Callable[[Study, Workshop], Grid]] = {"table5": related_languages, "table7": sizes}

"""Tables that need no model: related languages (Table 5) and the sizes of the data (Table 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from ..errors import MissingData
from ..languages.codes import language_name
from ..languages.related import PRESETS, preset, related
from .lab import Lab
from .records import Grid


def related_languages(lab: Lab) -> Grid:
    """For each target the sources within the paper's limits, nearest first, beside the paper's Table 5."""
    paper, languages = preset(PRESETS[0]), lab.study.languages
    rows, notes = [], []
    for target in languages.targets:
        judged = related(target, languages.sources)
        printed = paper.sets.get(target)
        differ = "" if printed is None else " ".join(_differences(judged.chosen, printed)) or "the same"
        rows.append([target, " ".join(judged.chosen), " ".join(printed or ()), differ])
        notes += [f"{target}: {judged.note}."] if judged.note else []
    caption = "URIEL: syntactic < 0.7 and geographic < 0.3, nearest first. + only here, − only in the paper."
    return Grid("Related languages", ["", "By URIEL", "Paper", "Difference"], rows, " ".join([caption, *notes]))


def _differences(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    return [f"+{code}" for code in ours if code not in theirs] + [f"−{code}" for code in theirs if code not in ours]


def sizes(lab: Lab) -> Grid:
    """Examples of each split and characters of plain text, by language, as the study's limits have them."""
    languages, data = lab.study.languages, lab.study.data
    rows = []
    for code in (*languages.sources, *languages.targets):
        counts = [_count(lab, code, split) for split in ("train", "validation", "test")]
        rows.append([language_name(code), code, *counts, _characters(lab, code)])
    heads = ["Language", "", "Train", "Validation", "Test", "Characters"]
    return Grid("Sizes of the data", heads, rows, f"Labels: {data.labels}. Plain text: {data.text}.")


def _count(lab: Lab, code: str, split: str) -> str:
    task = next(iter(lab.study.tasks))
    return f"{len(lab.labels(task, code, split).examples):,}" if lab.has_labels(task, code, split) else "–"


def _characters(lab: Lab, code: str) -> str:
    with suppress(MissingData):
        return f"{sum(map(len, lab.plain(code).documents)):,}"
    return "–"


LISTINGS: Mapping[str, Callable[[Lab], Grid]] = {"table5": related_languages, "table7": sizes}

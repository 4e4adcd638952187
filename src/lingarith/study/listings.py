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
    languages, data, task = lab.study.languages, lab.study.data, next(iter(lab.study.tasks))
    rows = []
    for code in (*languages.sources, *languages.targets):
        row = [language_name(code), code, "–", "–", "–", "–"]
        for column, split in enumerate(("train", "validation", "test"), 2):
            if lab.has_labels(task, code, split):
                row[column] = f"{len(lab.labels(task, code, split).examples):,}"
        with suppress(MissingData):
            row[-1] = f"{sum(map(len, lab.plain(code).documents)):,}"
        rows.append(row)
    heads = ["Language", "", "Train", "Validation", "Test", "Characters"]
    return Grid("Sizes of the data", heads, rows, f"Labels: {data.labels}. Plain text: {data.text}.")


LISTINGS: Mapping[str, Callable[[Lab], Grid]] = {"table5": related_languages, "table7": sizes}

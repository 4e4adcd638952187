"""Studies leave the lines that they left before: examples, records and choices, pinned in ``golden/<name>.jsonl``.

Only :func:`lines_of` knows how a study is run. The lines are about test splits alone. Where a method tries each source
by itself, its weight is the source's code. ``adapt_sources`` holds what the recipe of ``adapt`` gives by the rules of
studies, from which adaptations once differed in two ways: an output can be in the language of those sources alone
whose labels stand in the sum (at λ = 0 in none, so its kind is ``other``, not ``source``), and points of a curve that
are means over sources are means of rounded values.

To write the files anew, put ``write(name, lines_of(keys))`` before the comparison, run the tests once, take it away,
and read the difference: each line that changed needs a reason. The learning rate is low enough that processors which
round differently (ATEN_CPU_CAPABILITY=default) write the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lingarith.store.store import Store
from lingarith.study.lab import Lab
from lingarith.study.run import run
from lingarith.study.study import study_of

GOLDEN = Path(__file__).parent / "golden"
FIELDS = {
    "example": ("task", "target", "split", "id", "input", "reference", "alternatives"),
    "record": ("task", "target", "method", "source", "seed", "weight", "split", "id", "output", "score", "kind"),
    "choice": ("task", "target", "method", "source", "seed", "protocol", "weight", "value", "expression", "curve"),
}  # fmt: skip
"""What is pinned of each line, in the order of the files."""
TOLD_APART_BY = {"example": 4, "record": 8, "choice": 6}
"""How many of the fields, from the first on, are no two lines' alike: the lines are sorted by them."""

Keys = Mapping[str, Any]
Lines = tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]
"""Examples, records and choices, by the names of their fields."""

ADAPT = {
    "table": "adapt", "labels": "newsroom", "text": "newsroom", "sources": ("en",), "targets": ("pt", "uk"),
    "characters": 3000, "train_limit": 8, "validation_limit": 4, "test_limit": 4,
    "rank": 2, "steps": 3, "batch_size": 4, "learning_rate": 0.1, "max_input": 24, "max_target": 8, "max_output": 6,
    "choose_by": "oracle",
}  # fmt: skip
SMALL = ADAPT | {"learning_rates": (0.05,), "max_output": 3, "weights": (0.0, 0.5), "betas": (0.5,)}
TWO = {"sources": ("en", "ru")}
STUDIES: Mapping[str, Keys] = {
    "table1": SMALL | {"table": "table1"},
    "table1_sources": SMALL | TWO | {"table": "table1", "choose_by": "sources"},
    "table2": SMALL | TWO | {"table": "table2", "targets": ("pt", "fa")},
    "table4": SMALL | {
        "table": "table4", "targets": ("pt",), "tasks": ["summaries", {"task": "questions", "targets": ["ru"]}],
    },
    "table6": SMALL | TWO | {
        "table": "table6", "targets": ("en", "ru"), "adapter": "lora", "kronecker": (2, 2), "space": "delta",
        "controls": ("rates",),
    },
    "figure2": SMALL | TWO | {"table": "figure2", "controls": ("scaled", "wrong")},
    "adapt": ADAPT,
    "adapt_sources": ADAPT | TWO | {"choose_by": "sources"},
}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_leaves_the_same_lines(name: str, tiny_backbone: Path) -> None:
    keys = STUDIES[name] | {"backbone": str(tiny_backbone)}
    found, known = list(rows(lines_of(keys))), read(name)
    assert [row[: TOLD_APART_BY[row[0]] + 1] for row in found] == [row[: TOLD_APART_BY[row[0]] + 1] for row in known]
    for row, expected in zip(found, known, strict=True):
        assert list(flat(row)) == [
            pytest.approx(one, abs=1e-3) if isinstance(one, float) else one for one in flat(expected)
        ]


# ---------------------------------------------------------------- how a study is run


def lines_of(keys: Keys) -> Lines:
    """What the study of these keys leaves: examples, records and choices."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        study = study_of("golden", keys["table"], {key: value for key, value in keys.items() if key != "table"})
        made = run(Lab(study, Store(folder / "store")), folder / "run", together=1)

    def line(one: Any) -> dict[str, Any]:
        values = asdict(one)
        if "expression" in values:  # names alone: which vector of several a name is, hashes say
            values["expression"] = re.sub("@[0-9a-f]+", "", values["expression"])
        return values

    lines = [[line(one) for one in some] for some in (made.examples, made.records, made.choices)]
    return lines[0], lines[1], lines[2]


# ---------------------------------------------------------------- the files


def rows(lines: Lines) -> Iterator[list[Any]]:
    """The lines as the files have them: kind and pinned fields of each, sorted."""
    for (kind, names), some in zip(FIELDS.items(), lines, strict=True):
        picked = [[kind, *(line[name] for name in names)] for line in some]
        yield from sorted(picked, key=lambda row: [str(one) for one in row[1 : TOLD_APART_BY[row[0]] + 1]])


def flat(value: Any) -> Iterator[Any]:
    """What stands in lists in lists, one after another."""
    if isinstance(value, list | tuple):
        yield len(value)
        for one in value:
            yield from flat(one)
    else:
        yield value


def write(name: str, lines: Lines) -> None:
    """Pin the lines of a study."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(lines))
    (GOLDEN / f"{name}.jsonl").write_text(text, encoding="utf-8")


def read(name: str) -> list[list[Any]]:
    """The pinned lines of a study, as :func:`rows` gives them."""
    return [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]

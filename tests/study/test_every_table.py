"""Every table with the keys that users combine: it is refused in a sentence, or it runs and has a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.errors import LingarithError
from lingarith.report.findings import findings
from lingarith.report.writing import write_report
from lingarith.study.lab import Lab
from lingarith.study.lines import plan
from lingarith.study.recipes import TABLES
from lingarith.study.run import run
from lingarith.study.study import ADAPT

LANGUAGES = {
    "one source": {"sources": ("en",), "targets": ("pt",)},
    "a target among the sources": {"sources": ("en", "ru"), "targets": ("ru", "pt")},
    "two seeds": {"sources": ("en", "ru"), "targets": ("pt",), "seeds": (0, 1)},
}
CHOICES = {
    "as usual": {},
    "the task vector's weight alone": {"weights": (1.0,), "betas": (0.0,)},
    "no such weight": {"weights": (0.5,), "betas": (0.5,), "tasks": ("topics",)},
    "from sources": {"weights": (0.5,), "betas": (0.5,), "tasks": ("entities",), "choose_by": "sources"},
    "without labels": {"weights": (0.5,), "betas": (0.5,), "choose_by": "unlabelled", "search": "loss"},
    "losses": {"weights": (0.5,), "betas": (0.5,), "tasks": ({"task": "summaries", "metric": "likelihood"},)},
    "a race": {"weights": (0.5, 0.8), "betas": (0.5,), "search": "halving", "retention": True},
}
SHORT = {"max_output": 2, "test_limit": 3, "validation_limit": 2, "space": "delta"}


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("languages", LANGUAGES)
@pytest.mark.parametrize("table", sorted(TABLES.keys() - {ADAPT, "vectors"}))
def test_a_table_is_refused_or_reported(
    table: str, languages: str, choice: str, lab: Callable[..., Lab], tmp_path: Path
) -> None:
    keys: dict[str, Any] = SHORT | LANGUAGES[languages] | CHOICES[choice]
    try:
        plan(lab(table, **keys))  # what is refused is refused before anything is trained
    except LingarithError:
        return
    made = run(lab(table, **keys), tmp_path / "run", together=1)
    written = write_report({table: findings(made, draws=20)}, tmp_path / "report")
    assert all(path.stat().st_size for path in written)

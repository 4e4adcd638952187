"""What the paper prints in its tables, to stand beside ours.

Source: Chronopoulou et al. (2023), "Language and Task Arithmetic with Parameter-Efficient Layers for
Zero-Shot Summarization", arXiv 2311.09344, Tables 1 to 4, 6 and 7, as far as its text gives the cells
(of Table 1's Add and Add and Subtract, and of Table 4, little more than the averages). PaLM 2-S on
XL-Sum (SentencePiece-ROUGE-2) and TyDi QA (F1).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources

METRICS = {"summaries": "ROUGE-2", "questions": "F1"}
"""What its scores are: another metric of ours does not stand beside them."""
CITATION = "Chronopoulou et al. (2023), arXiv 2311.09344"


@cache
def printed(table: str) -> Mapping[tuple[str, str, str], float]:
    """The numbers of a table by task, target (or ``average``) and method; none where it prints none.

    >>> printed("table1")["summaries", "pt", "baseline"]
    22.3
    """
    content = (resources.files(__package__) / "paper.csv").read_text(encoding="utf-8")
    return {
        (row["task"], target, row["method"]): float(score)
        for row in csv.DictReader(content.splitlines())
        if row["table"] == table
        for target, score in zip(row["targets"].split(), row["scores"].split(), strict=True)
    }

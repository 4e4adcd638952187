"""The records that are kept: packed the same each time, read whole, and the source of the facts that `plan` goes by."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lingarith.report import plan
from lingarith.report.answers import ANSWERS, answer_of
from lingarith.study.records import Choice, Record, Run
from tools import evidence


@pytest.fixture(scope="module")
def kept() -> Mapping[str, Run]:
    return evidence.runs()


def test_what_is_kept_is_read_again_and_answers(kept: Mapping[str, Run]) -> None:
    assert kept
    for run in kept.values():
        answer = answer_of(run)
        assert (answer is not None) == (run.about.table in ANSWERS)


SLOW = ("addition", "interference")


@pytest.mark.parametrize("table", [pytest.param(one, marks=[pytest.mark.slow][: one in SLOW]) for one in ANSWERS])
def test_an_answer_of_a_part_of_what_is_kept(kept: Mapping[str, Run], table: str) -> None:
    """Controls can be left out, sources be few, and a run be stopped: what is there is said, or nothing."""
    [run] = [run for run in kept.values() if run.about.table == table]
    parts = [part_of(run, targets=run.about.targets[:1]), part_of(run, sources=run.about.sources[:1])]
    methods = list(run.about.methods)
    for method in (*methods[:2], *methods[-2:]):
        parts.append(part_of(run, methods={name: about for name, about in run.about.methods.items() if name != method}))
    for part in parts:
        for draw in answer.charts.values() if (answer := answer_of(part)) else ():
            draw()


def part_of(run: Run, **kept: Any) -> Run:
    """The run with these of its targets, sources or methods alone."""

    def within(one: Record | Choice) -> bool:
        return all(getattr(one, key[:-1]) in ("", *names) for key, names in kept.items())

    return replace(
        run,
        about=replace(run.about, **kept),
        records=[record for record in run.records if within(record)],
        choices=[choice for choice in run.choices if within(choice)],
    )


def test_facts_are_those_of_what_is_kept(kept: Mapping[str, Run]) -> None:
    assert plan.shipped() == plan.evidence_of(kept)


@pytest.mark.parametrize("texts", [True, False])
def test_packing_is_repeatable(texts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(iter(sorted(evidence.EVIDENCE.glob("*.tar.xz"))))
    with tarfile.open(first) as packed:
        packed.extractall(tmp_path / "run", filter="data")
    monkeypatch.setattr(evidence, "EVIDENCE", tmp_path)
    evidence.pack(tmp_path / "run", name="one", texts=texts)
    evidence.pack(tmp_path / "run", name="two", texts=texts)
    one, two = ((tmp_path / f"{name}.tar.xz").read_bytes() for name in ("one", "two"))
    assert one == two
    assert len(one) <= first.stat().st_size
    assert [run.about.table for run in evidence.runs().values()]

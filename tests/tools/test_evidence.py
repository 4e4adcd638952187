"""The records that are kept: packed the same each time, read whole, and the source of the facts that `plan` goes by."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from lingarith.report import plan
from lingarith.report.answers import ANSWERS, answer_of
from lingarith.study.records import Run
from tools import evidence


@pytest.fixture(scope="module")
def kept() -> Mapping[str, Run]:
    return evidence.runs()


def test_what_is_kept_is_read_again_and_answers(kept: Mapping[str, Run]) -> None:
    assert kept
    for run in kept.values():
        answer = answer_of(run)
        assert (answer is not None) == (run.about.table in ANSWERS)


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

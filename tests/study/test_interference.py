"""What `inspect` says of a study's compositions, on a tiny backbone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from lingarith.report.answers import answer_of
from lingarith.report.interference import FIGURES
from lingarith.study.interference import figures_of
from lingarith.study.lab import Lab
from lingarith.study.place import Method
from lingarith.study.recipes import place_of
from lingarith.study.run import run


def test_the_compositions_of_a_run_are_measured_once(
    lab: Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = lab("interference", sources=("en",), targets=("pt",), weights=(0.0, 0.5), betas=(0.5,), controls=("scaled",))
    measured = run(one, tmp_path / "run").about.measured
    assert {*measured} == {*FIGURES, "gain", "error"} - {"weight"}
    # At λ = 0 nothing of the task is left, and at λ = 1 nothing else; λ·task has no language part.
    rows = [f"summaries/pt/{name}//0/0.5" for name in ("add", "add_subtract", "uncoupled", "scaled")]
    assert list(measured["kept"]) == list(measured["gain"]) == rows
    assert measured["beside"][rows[-1]] == 0
    assert rows[-1] not in measured["cosine"]
    monkeypatch.setattr("lingarith.study.interference.inspect", None)  # what a finished run says is not measured again
    again = run(one, tmp_path / "run")
    assert again.about.measured == measured
    answer_of(again)


def test_figures_by_hand(lab: Callable[..., Lab], tmp_path: Path) -> None:
    one = lab("interference", sources=("en",), targets=("pt",), weights=(0.5,), betas=(0.5,), controls=("scaled",))
    run(one, tmp_path / "run")
    methods: dict[str, Method] = {method.name: method for method in place_of(one, "summaries", "pt", 0).methods}
    figures = figures_of(one, methods["uncoupled"], methods["uncoupled"].tried[0.5])
    # ‖r − t‖² = ‖r‖² − 2⟨r, t⟩ + ‖t‖², all over ‖t‖²
    assert figures["norm"] == pytest.approx(math.sqrt(figures["away"] ** 2 + 2 * figures["kept"] - 1), rel=1e-4)
    half = figures_of(one, methods["scaled"], methods["scaled"].tried[0.5])
    expected = 0.5 if one.study.sums.value.name == "delta" else 0.25  # in factors a coefficient works as its square
    assert half["kept"] == pytest.approx(expected, rel=1e-4)
    assert half["exact"] == pytest.approx(1)
    assert figures_of(one, methods["add"], methods["add"].tried[1.0])["beside"] == 0
    assert not figures_of(one, methods["uncoupled"], one.language(0, "pt"))

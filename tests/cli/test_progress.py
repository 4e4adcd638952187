"""Progress as lines, where stderr is no terminal."""

from __future__ import annotations

import itertools

import pytest

from lingarith.cli.progress import shown


def test_what_is_left_is_told_where_the_whole_is_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 20)
    monkeypatch.setattr("lingarith.cli.progress.time.monotonic", lambda: next(clock))
    with shown() as progress:
        progress("training", 1, 4)
        progress("training", 2, 4)
        progress("fetching", 0, 0)
        progress("fetching", 700, 0)
    assert capsys.readouterr().err.splitlines() == [
        "training …",
        "training: 2/4, 20 s left",
        "fetching …",
        "fetching: 700",
    ]

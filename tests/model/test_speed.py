from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lingarith.model import speed


def test_it_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path))
    seconds = {torch.bfloat16: 3.0, torch.float32: 2.0}
    monkeypatch.setattr(speed, "_seconds", lambda dtype: seconds.pop(dtype))
    assert speed.slower(torch.bfloat16) == 1.5
    assert speed.slower(torch.bfloat16) == 1.5


def test_it_takes_milliseconds() -> None:
    assert 0 < speed._seconds(torch.float32) < 0.5


@pytest.mark.parametrize(
    ("stored", "times", "wanted"),
    [
        (torch.bfloat16, 40.0, torch.float32),
        (torch.float16, 1.1, torch.float32),
        (torch.bfloat16, 0.9, torch.bfloat16),
        (torch.float32, 0.1, torch.float32),
    ],
)
def test_what_is_quick(stored: torch.dtype, times: float, wanted: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "slower", lambda half: times)
    quick, why = speed.quick_type(stored)
    assert quick == wanted
    assert bool(why) == (stored != wanted)

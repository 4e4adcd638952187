"""Counts of work: the same at every run, and a rise is said."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from benchmarks import check


class Tiny(nn.Module):
    """Four pieces, two numbers each, and logits of the last position alone or of all."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(4, 2), nn.Linear(2, 4, bias=False)

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, ids: Tensor, last: bool) -> Tensor:
        hidden = self.words(ids)
        return self.head(hidden[:, -1:] if last else hidden)


@pytest.mark.parametrize("last", [True, False])
def test_what_a_model_does_is_counted(last: bool) -> None:
    found: check.Counts = {}
    on = SimpleNamespace(model=Tiny())
    with check.counted(on, "x", found):
        on.model(torch.tensor([[0, 1, 2], [3, 2, 1]]), last)
    positions = 2 if last else 6
    assert found["x: forward passes"] == 1
    assert found["x: tokens computed"] == 6
    assert found["x: positions with logits"] == positions
    assert found["x: floating-point operations of products"] == 2 * positions * 2 * 4
    on.model(torch.tensor([[0]]), last)
    assert found["x: forward passes"] == 1


def test_rises_are_said_and_falls_are_not() -> None:
    assert check.rises({"a": 1, "b": 2}, {"a": 1, "b": 1}) == []
    assert check.rises({"a": 1000}, {"a": 2000}) == ["a: 2,000, and it was 1,000"]
    assert check.rises({}, {"a": 1}) == ["a: 1, and it was not counted before"]


def test_no_command_imports_more_than_it_did(tmp_path: Path) -> None:
    kept = json.loads(check.FILE.read_text())
    (tmp_path / "store").mkdir()
    now = check.of_starting(tmp_path / "store")
    assert check.rises(kept["counts"], now) == [] or kept["with"] != check.made_with()


@pytest.mark.slow
def test_nothing_rose() -> None:
    kept = json.loads(check.FILE.read_text())
    assert check.rises(kept["counts"], check.counts()) == [] or kept["with"] != check.made_with()

"""Chunks of tokens: from memory or from a file they are the same, and a file is made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.model import chunks as module
from lingarith.model.backbone import Backbone
from lingarith.model.chunks import ENDS, TOKENS, tokenised

Make = Callable[..., Any]
DOCUMENTS = ["w0 w1 w2 w3 w4", "w5", "w6 w7", "w8 w9 w8 w9 w8"]
EXPECTED = [[4, 5, 6], [7, 8], [10, 11], [12, 13, 12], [13, 12]]


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_chunks_by_hand(block: int, backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document of one token is left out; the rests of two are chunks."""
    monkeypatch.setattr(module, "BLOCK", block)
    on = backbone("llama")
    for folder in (None, tmp_path / "text"):
        found = tokenised(on, DOCUMENTS, 3, folder)
        assert [found[k] for k in range(len(found))] == EXPECTED
        assert all(type(token) is int for token in found[0])


def test_a_file_is_made_once(backbone: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on = backbone("llama")
    tokenised(on, DOCUMENTS, 3, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "encode", lambda *_: pytest.fail("what is there was tokenised again"))
        found = tokenised(on, DOCUMENTS, 3, tmp_path)
    assert [found[k] for k in range(len(found))] == EXPECTED


@pytest.mark.parametrize("name", [TOKENS, ENDS])
@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_half_a_file_is_made_again(name: str, damage: str, backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    tokenised(on, DOCUMENTS, 3, tmp_path)
    whole = (tmp_path / name).read_bytes()
    if damage == "cut":
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    elif damage == "changed":
        (tmp_path / name).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    else:
        (tmp_path / name).unlink()
    found = tokenised(on, DOCUMENTS, 3, tmp_path)
    assert [found[k] for k in range(len(found))] == EXPECTED
    assert (tmp_path / name).read_bytes() == whole


def test_another_text_is_not_taken_from_a_folder(backbone: Make, tmp_path: Path) -> None:
    on = backbone("llama")
    tokenised(on, ["w9 w8 w7"], 3, tmp_path)
    found = tokenised(on, DOCUMENTS, 3, tmp_path)
    assert [found[k] for k in range(len(found))] == EXPECTED


def test_no_text(backbone: Make, tmp_path: Path) -> None:
    assert len(tokenised(backbone("llama"), ["w0"], 3, tmp_path)) == 0

"""Files: whole or not at all, and nothing is believed on reading."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.errors import LingarithError
from lingarith.vectors.files import (
    MOST_TENSORS,
    read_json,
    read_safetensors,
    replace_folder,
    safetensors_bytes,
    write_atomically,
    write_folder,
    write_safetensors,
)

TENSORS = {"q.a": torch.arange(6.0).reshape(2, 3), "q.b": torch.ones(4, 2), "step": torch.tensor(7, dtype=torch.uint8)}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["ENOSPC", "EDQUOT"])
def full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(getattr(errno, request.param), "full")

    monkeypatch.setattr(os, "fsync", fail)


def test_tensors_come_back(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "new" / "x.safetensors", TENSORS, {"format": "pt"})
    back = read_safetensors(tmp_path / "new" / "x.safetensors")
    assert back.keys() == TENSORS.keys()
    assert all(torch.equal(back[name], TENSORS[name]) and back[name].dtype == TENSORS[name].dtype for name in back)
    assert os.listdir(tmp_path / "new") == ["x.safetensors"]
    back["q.a"] += 1  # writable


@pytest.mark.usefixtures("full_disk")
def test_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")
    with pytest.raises(LingarithError, match=r"no space left to write .*x\.json .*free some space"):
        write_atomically(path, "new")
    assert contents(tmp_path) == {"x.json": b"old"}


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("write", [write_folder, replace_folder])
def test_full_disk_keeps_the_old_folder(tmp_path: Path, write: object) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").write_text("old")
    with pytest.raises(LingarithError, match="no space left to write"):
        write(tmp_path / "x", {"new": b"new"})  # type: ignore[operator]
    assert contents(tmp_path) == {"x/old": b"old"}


def test_any_other_failure_says_what_and_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(LingarithError, match=r"cannot write .*file/x: (Not a directory|File exists); "):
        write_atomically(tmp_path / "file" / "x", b"")


def test_folder_is_kept_or_replaced(tmp_path: Path) -> None:
    assert write_folder(tmp_path / "x", {"a": b"1"})
    assert not write_folder(tmp_path / "x", {"a": b"2"})
    assert contents(tmp_path) == {"x/a": b"1"}
    replace_folder(tmp_path / "x", {"b": b"3"})
    assert contents(tmp_path) == {"x/b": b"3"}


def test_failed_replacement_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "x", {"a": b"1"})
    rename, calls = Path.rename, []

    def third_time_fails(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 3:
            raise OSError(errno.EIO, "broken disk")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", third_time_fails)
    with pytest.raises(LingarithError, match="broken disk"):
        replace_folder(tmp_path / "x", {"a": b"2"})
    assert contents(tmp_path) == {"x/a": b"1"}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_nan_and_inf_are_named(tmp_path: Path, bad: float, dtype: torch.dtype) -> None:
    tensors = {"good": torch.ones(2, dtype=dtype), "q.b": torch.tensor([1.0, bad], dtype=dtype)}
    with pytest.raises(LingarithError, match=r"x\.safetensors: tensor 'q\.b' holds NaN or Inf"):
        write_safetensors(tmp_path / "x.safetensors", tensors)
    assert not contents(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(safetensors.torch.save(tensors))
    with pytest.raises(LingarithError, match=r"x\.safetensors: tensor 'q\.b' holds NaN or Inf"):
        read_safetensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("name", ["x.bin", "x.pt", "x.PKL"])
def test_pickles_are_refused_unread(tmp_path: Path, name: str) -> None:
    with pytest.raises(LingarithError, match=r"is a pickle, .*convert it to \.safetensors"):
        read_safetensors(tmp_path / name)


def test_pickle_in_disguise_is_refused(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "x.safetensors")
    with pytest.raises(LingarithError, match=r"x\.safetensors is damaged"):
        read_safetensors(tmp_path / "x.safetensors")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(LingarithError, match=r"x\.safetensors does not exist"):
        read_safetensors(tmp_path / "x.safetensors")
    with pytest.raises(LingarithError, match="cannot be read: Is a directory"):
        read_safetensors(tmp_path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = safetensors_bytes(TENSORS, "x")
    path = tmp_path / "x.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(LingarithError, match=r"x\.safetensors is damaged"):
            read_safetensors(path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_flipped_bit_never_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(safetensors_bytes(TENSORS, "x"))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    path.write_bytes(whole)
    with suppress(LingarithError):
        read_safetensors(path)


def test_absurd_headers(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(LingarithError, match=r"x\.safetensors is damaged: truncated"):
        read_safetensors(path)
    path.write_bytes((17 * 2**20).to_bytes(8, "little") + b" " * (17 * 2**20))
    with pytest.raises(LingarithError, match=r"x\.safetensors is no vector: its header takes 17825792"):
        read_safetensors(path)
    many = {f"{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(MOST_TENSORS + 1)}
    header = json.dumps(many).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(LingarithError, match=rf"x\.safetensors is no vector: it holds {MOST_TENSORS + 1} tensors"):
        read_safetensors(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff", "[" * 100_000])
def test_damaged_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(LingarithError, match=r"x\.json is damaged: .*; make it again"):
        read_json(tmp_path / "x.json")

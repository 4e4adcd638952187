"""safetensors files: the safetensors library is the oracle, and nothing is believed on reading."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.disk import tensors
from lingarith.disk.tensors import (
    CODES,
    LONGEST_HEADER,
    LONGEST_NAME,
    TensorFile,
    pieces,
    read_safetensors,
    safetensors_bytes,
    write_safetensors,
)
from lingarith.errors import LingarithError

TENSORS = {"q.a": torch.arange(6.0).reshape(2, 3), "q.b": torch.ones(4, 2), "step": torch.tensor(7, dtype=torch.uint8)}
NUMBERS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def equal(ours: Any, theirs: Any) -> bool:
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name].view(-1).view(torch.uint8), theirs[name].view(-1).view(torch.uint8))
        and (ours[name].dtype, ours[name].shape) == (theirs[name].dtype, theirs[name].shape)
        for name in theirs
    )


def with_header(path: Path, header: Any, data: bytes = b"") -> Path:
    """A file with that header, which is given as it is or as what json makes of it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


# ---------------------------------------------------------------- what is written and read


def test_tensors_come_back(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "new" / "x.safetensors", TENSORS, {"format": "pt"})
    back = read_safetensors(tmp_path / "new" / "x.safetensors")
    assert equal(back, TENSORS)
    assert os.listdir(tmp_path / "new") == ["x.safetensors"]
    back["q.a"] += 1  # writable


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9_-]{1,4}(\.[a-z0-9_-]{1,4}){0,2}", fullmatch=True),
        st.tuples(st.sampled_from(sorted(CODES, key=str)), st.lists(st.integers(0, 3), max_size=4)),
        min_size=1,  # for none, the library writes metadata that are no JSON
        max_size=5,
    ),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)
def test_the_library_reads_ours_and_we_read_its(
    tmp_path_factory: pytest.TempPathFactory, kinds: dict[str, Any], metadata: dict[str, str]
) -> None:
    made = {name: torch.randint(0, 2, shape).to(dtype) for name, (dtype, shape) in kinds.items()}
    content = safetensors_bytes(made, "x", metadata)
    assert equal(safetensors.torch.load(content), made)
    path = tmp_path_factory.getbasetemp() / "kinds.safetensors"
    for written in (content, safetensors.torch.save(made, metadata)):
        path.write_bytes(written)
        file = TensorFile(path)
        assert equal(dict(file), made)
        assert file.metadata == metadata
        assert {name: (t.dtype, t.shape) for name, t in file.outline().items()} == {
            name: (t.dtype, t.shape) for name, t in made.items()
        }


def test_each_tensor_begins_at_a_multiple_of_its_size() -> None:
    content = safetensors_bytes({"a": torch.ones(3, dtype=torch.uint8), "b": torch.ones(1), "c": TENSORS["step"]}, "x")
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    assert json.loads(content[8 : 8 + length])["b"]["data_offsets"] == [0, 4]


def test_tensors_are_taken_when_they_are_written() -> None:
    taken: list[str] = []

    def values() -> Any:
        for name in ("q.a", "q.b"):
            taken.append(name)
            yield name, TENSORS[name]

    outline = {name: TENSORS[name].to("meta") for name in ("q.a", "q.b")}
    made = pieces(outline, values(), "x")
    written = [(bytes(next(made)), list(taken)) for _ in range(3)]
    assert [names for _, names in written] == [[], ["q.a"], ["q.a", "q.b"]]
    assert equal(safetensors.torch.load(b"".join(piece for piece, _ in written)), {n: TENSORS[n] for n in outline})


def test_one_tensor_is_held_at_a_time() -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def values() -> Any:
        for name in outline:
            alive.append(sum(one() is not None for one in held))
            tensor = torch.ones(2)
            held.append(weakref.ref(tensor))
            yield name, tensor
            del tensor

    outline = {name: torch.ones(2, device="meta") for name in ("a", "b", "c")}
    for piece in pieces(outline, values(), "x"):
        assert len(piece)
        del piece
    assert alive == [0, 0, 0]


@pytest.mark.parametrize("given", [{}, {"q.b": torch.ones(2)}, {"q.a": torch.ones(3)}, {"q.a": torch.ones(2).double()}])
def test_tensors_that_are_not_what_was_declared(given: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=r"not .*q\.a|shorter"):
        b"".join(pieces({"q.a": torch.ones(2)}, given.items(), "x"))


def test_a_tensor_that_was_not_declared() -> None:
    with pytest.raises(ValueError, match=r"q\.b is in no header"):
        b"".join(pieces({"q.a": torch.ones(2)}, [("q.a", torch.ones(2)), ("q.b", torch.ones(2))], "x"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_nan_and_inf_are_named(tmp_path: Path, bad: float, dtype: torch.dtype) -> None:
    path = tmp_path / "x.safetensors"
    written = {"good": torch.ones(2, dtype=dtype), "q.b": torch.tensor([1.0, bad, 2.0], dtype=dtype)}
    with pytest.raises(LingarithError, match=r"x\.safetensors: tensor 'q\.b' holds NaN or Inf"):
        write_safetensors(path, written)
    assert os.listdir(tmp_path) == []
    path.write_bytes(safetensors.torch.save(written))
    with pytest.raises(LingarithError, match=r"x\.safetensors: tensor 'q\.b' holds NaN or Inf"):
        read_safetensors(path)
    assert torch.equal(TensorFile(path)["good"], written["good"])


def test_nan_of_eight_bits(tmp_path: Path) -> None:
    header = {"q": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    with pytest.raises(LingarithError, match="'q' holds NaN"):
        read_safetensors(with_header(tmp_path / "x.safetensors", header, b"\x00\x7f"))


# ---------------------------------------------------------------- one at a time


def test_a_file_that_changes_while_it_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors(path, TENSORS)
    file = TensorFile(path)
    write_safetensors(path, {"other": torch.zeros(1)})  # another file in its place
    with pytest.raises(LingarithError, match=r"x\.safetensors was changed while it was in use"):
        dict(file)
    file = TensorFile(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LingarithError, match=r"x\.safetensors was changed while it was in use"):
        file["other"]


def test_small_tensors_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order what comes back is what was written, in memory of its own."""
    chance = torch.Generator().manual_seed(0)
    sizes = [0, 3, 1, 40, 7, 2, 16, 5]
    written = {f"t{k}": torch.randn(size, generator=chance) for k, size in enumerate(sizes)}
    write_safetensors(tmp_path / "x.safetensors", written)
    places: list[int] = []
    read = tensors._read
    monkeypatch.setattr(tensors, "_read", lambda *about: places.append(about[2]) or read(*about))
    for ahead, most in ((2**19, 1), (64, 5), (8, 8)):
        monkeypatch.setattr(tensors, "AHEAD", ahead)
        file = TensorFile(tmp_path / "x.safetensors")
        places.clear()
        assert equal({name: file[name] for name in sorted(written)}, written)
        assert len(places) <= most
        for name in reversed(written):
            file[name].add_(1)
        assert equal(dict(file), written)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="where open files are listed")
def test_files_are_open_only_while_they_are_read(tmp_path: Path) -> None:
    """A sum has as many vectors as somebody likes, and a process may have 256 files open."""
    write_safetensors(tmp_path / "x.safetensors", TENSORS)
    before = os.listdir("/proc/self/fd")
    files = [TensorFile(tmp_path / "x.safetensors") for _ in range(9)]
    assert all(equal(dict(file), TENSORS) for file in files)
    assert os.listdir("/proc/self/fd") == before


# ---------------------------------------------------------------- what is no such file


@pytest.mark.parametrize("name", ["x.bin", "x.pt", "x.PKL", "x.zip"])
def test_pickles_are_refused_unread(tmp_path: Path, name: str) -> None:
    with pytest.raises(LingarithError, match=r"is a pickle or an archive, .*convert it to \.safetensors"):
        read_safetensors(tmp_path / name)


class Trap:
    def __reduce__(self) -> Any:
        return os._exit, (1,)


def test_pickles_in_disguise_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    contents = [pickle.dumps(Trap(), protocol=protocol) for protocol in (2, 3, 4, 5)]
    for new in (True, False):
        torch.save(TENSORS, path, _use_new_zipfile_serialization=new)
        contents.append(path.read_bytes())
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(LingarithError, match=r"x\.safetensors is a pickle or an archive"):
            read_safetensors(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    for path, sentence in [
        (tmp_path / "none.safetensors", r"none\.safetensors does not exist"),
        (tmp_path, "cannot be read: it is no file"),
        (tmp_path / "pipe.safetensors", "cannot be read: it is no file"),
    ]:
        with pytest.raises(LingarithError, match=sentence):
            read_safetensors(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = safetensors_bytes(TENSORS, "x")
    path = tmp_path / "x.safetensors"
    for content in [*(whole[:length] for length in range(len(whole))), whole + b"x"]:
        path.write_bytes(content)
        with pytest.raises(LingarithError, match=r"x\.safetensors is damaged"):
            TensorFile(path)


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


def test_absurd_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(LingarithError, match=r"x\.safetensors is damaged: truncated"):
        TensorFile(path)
    with_header(path, b"{" + b" " * LONGEST_HEADER + b"}")
    with pytest.raises(LingarithError, match=rf"x\.safetensors is no vector: its header takes {LONGEST_HEADER + 2}"):
        TensorFile(path)
    monkeypatch.setattr(tensors, "MOST_TENSORS", 3)
    many = {str(number): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(4)}
    with pytest.raises(LingarithError, match=r"x\.safetensors is no vector: it holds more than 3 tensors"):
        TensorFile(with_header(path, many))
    del many["0"]
    assert len(TensorFile(with_header(path, many | {"__metadata__": {}}))) == 3


BAD = [
    ({"a/b": NUMBERS}, "'a/b' is no name"),
    ({"../a": NUMBERS}, r"'\.\./a' is no name"),
    ({"a..b": NUMBERS}, r"'a\.\.b' is no name"),
    ({"": NUMBERS}, "'' is no name"),
    ({"a\n": NUMBERS}, "is no name"),
    ({"a\u001b[31m": NUMBERS}, r"'a\\x1b\[31m' is no name"),
    ({"a" * (LONGEST_NAME + 1): NUMBERS}, "is no name"),
    ({"a": NUMBERS | {"dtype": "C64"}}, "'a' has the type 'C64'"),
    ({"a": NUMBERS | {"dtype": ["F32"]}}, "'a' has the type"),
    ({"a": NUMBERS | {"shape": [-2]}}, "'a' has an absurd shape"),
    ({"a": NUMBERS | {"shape": [2.0]}}, "'a' has an absurd shape"),
    ({"a": NUMBERS | {"shape": [True]}}, "'a' has an absurd shape"),
    ({"a": NUMBERS | {"shape": 2}}, "'a' has an absurd shape"),
    ({"a": NUMBERS | {"shape": [1] * 9}}, "'a' has an absurd shape"),
    ({"a": {"dtype": "F32", "shape": [0, 2**31, 2**31], "data_offsets": [0, 0]}}, "'a' has an absurd shape"),
    ({"a": NUMBERS | {"shape": [2**62 + 2]}}, "'a' has an absurd shape"),
    ({"a": NUMBERS | {"shape": [3]}}, "'a' does not take the bytes"),
    ({"a": NUMBERS | {"data_offsets": [8, 0]}}, "'a' does not take the bytes"),
    ({"a": NUMBERS | {"data_offsets": [0]}}, "'a' has no offsets"),
    ({"a": NUMBERS | {"data_offsets": [-8, 0]}}, "'a' has no offsets"),
    ({"a": NUMBERS | {"data_offsets": [4, 12]}}, "'a' overlaps another or leaves a gap"),
    ({"a": NUMBERS, "b": NUMBERS}, "'b' overlaps another or leaves a gap"),
    ({"a": NUMBERS, "b": NUMBERS | {"data_offsets": [8, 16]}}, "truncated or too long: "),
    ({}, "truncated or too long: "),
    ({"a": [1]}, "'a' has no description"),
    ({"a": NUMBERS, "__metadata__": {"x": 1}}, "its metadata are no texts"),
    ({"a": NUMBERS, "__metadata__": []}, "its metadata are no texts"),
    (b'{"a": 1, "a": 2}', "stands twice"),
    (b'{"a": {"dtype": "F32", "dtype": "F64"}}', "stands twice"),
    (b"{" * 50_000, "is damaged"),
    (b'{"a": ' + b"9" * 5000 + b"}", "is damaged"),
    (b'{"\xff": 1}', "is damaged"),
]


@pytest.mark.parametrize(("header", "sentence"), BAD)
def test_headers_that_lie(tmp_path: Path, header: Any, sentence: str) -> None:
    path = with_header(tmp_path / "x.safetensors", header, struct.pack("<2f", 1, 2))
    with pytest.raises(LingarithError, match=sentence) as problem:
        TensorFile(path)
    assert str(problem.value).startswith(f"{path} is damaged: ")
    assert str(problem.value).isprintable()
    assert len(str(problem.value)) < 400


WITHOUT = """
import os, sys
sys.modules["fcntl"] = None
for name in ("preadv", "pread", "O_NONBLOCK"):
    delattr(os, name)
from pathlib import Path
from lingarith.disk.locks import alone
from lingarith.disk.tensors import read_safetensors
with alone(Path(sys.argv[1])):
    print(float(sum(tensor.double().sum() for tensor in read_safetensors(Path(sys.argv[1])).values())))
import lingarith.study.run, lingarith.model.together, lingarith.text.hub
"""


def test_what_windows_lacks_is_not_needed(tmp_path: Path) -> None:
    """Imitated: no module fcntl, no reads at a place."""
    write_safetensors(tmp_path / "x.safetensors", {"a": torch.arange(1000.0), "b": torch.ones(3, dtype=torch.bfloat16)})
    words = [sys.executable, "-W", "ignore", "-c", WITHOUT, str(tmp_path / "x.safetensors")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "499503.0"), done.stderr

"""A store that lies elsewhere: two machines (folders) and one place, in memory and on a real S3 server."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.adapters.lora import LoraTerm
from lingarith.disk.remote import Remote
from lingarith.disk.temporary import TEMPORARY
from lingarith.errors import LingarithError
from lingarith.store.objects import vector_hash
from lingarith.store.store import Store
from lingarith.vectors.vector import Vector

HERE = "f" * 64


def made(name: str = "xlsum[en]", value: float = 1.0) -> Vector:
    term = LoraTerm(torch.full((2, 3), value), torch.ones(4, 2))
    return Vector(name, {"layer.0.q": (term,)}, 1.0, {"backbone": {"name": "tiny", "fingerprint": HERE}})


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a bucket of an S3 server on this machine."""
    moto = pytest.importorskip("moto.server")
    fsspec = pytest.importorskip("s3fs") and pytest.importorskip("fsspec")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "any")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        files = fsspec.filesystem("s3", skip_instance_cache=True)  # another test may have looked for other credentials
        type(files).clear_instance_cache()
        files.mkdir("bucket")
        yield "s3://bucket"
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest) -> str:
    """A place that nobody has used."""
    parent = request.getfixturevalue("bucket") if request.param == "s3" else "memory:/"
    return f"{parent}/{uuid.uuid4()}/store"


@pytest.fixture
def machine(url: str, tmp_path: Path) -> Callable[..., Store]:
    """``machine("a")``: the store as that machine sees it."""
    return lambda name: Store(tmp_path / name, Remote.at(url))


def contents(store: Store) -> set[str]:
    assert store.remote
    return {str(key) for prefix in ("objects", "names", "recipes") for key in store.remote.sizes(prefix)}


def test_what_one_machine_puts_another_gets(machine: Callable[..., Store]) -> None:
    one, other = machine("one"), machine("other")
    assert not other.exists()
    with pytest.raises(LingarithError, match=f"there is no store at {other.place}; train"):
        other.entries()
    assert other.by_recipe("r1") is None
    digest = one.put(made(), "r1")
    assert contents(one) == {
        f"objects/{digest}/vector.safetensors", f"objects/{digest}/origin.json",
        "names/ffffffffffffffff/xlsum%5Ben%5D.json", "recipes/r1.json",
    }  # fmt: skip
    (entry,) = other.entries()
    assert entry == one.entries()[0]
    assert not (other.folder / "objects").exists()  # a listing fetches no tensors
    for back in (other.by_recipe("r1"), other.get("xlsum[en]", HERE), other.get(digest)):
        assert back is not None
        assert vector_hash(back) == digest == other.resolve(f"xlsum[en]@{digest[:6]}")
    assert one.verify() == other.verify() == machine("third").verify() == []
    with pytest.raises(LingarithError, match=r"no vector named 'xlsum\[eng\]' in .*://.*; did you mean xlsum\[en\]\?"):
        other.get("xlsum[eng]")


def test_a_name_is_what_it_is_there_now(machine: Callable[..., Store]) -> None:
    one, other = machine("one"), machine("other")
    old = one.put(made())
    assert other.resolve("xlsum[en]") == old
    new = one.put(made(value=2.0))
    assert other.resolve("xlsum[en]") == new
    assert [(entry.hash, entry.current) for entry in other.entries()] == [(new, True), (old, False)]


@pytest.mark.parametrize("moment", range(4))
def test_a_push_that_is_cut_off(machine: Callable[..., Store], moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = machine("one"), machine("other")
    push, left = Remote.push, iter(range(4))

    def fail(self: Remote, path: Path, key: str) -> None:
        if next(left) == moment:
            raise LingarithError("cut off")
        push(self, path, key)

    monkeypatch.setattr(Remote, "push", fail)
    with pytest.raises(LingarithError, match="cut off"):
        one.put(made(), "r1")
    monkeypatch.undo()
    assert len(contents(one)) == moment
    assert [entry.name for entry in other.entries()] == ["xlsum[en]"] * (moment > 1) if other.exists() else not moment
    assert (other.by_recipe("r1") is not None) == (moment == 3)
    halves = ["is half-written: it has no origin.json" in problem for problem in other.verify()] if moment else []
    assert halves == [True] * (moment == 1)
    digest = one.put(made(), "r1")  # the same command again
    assert other.resolve("xlsum[en]") == digest
    assert other.verify() == []


def test_what_is_here_alone_is_pushed_later(machine: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = machine("one"), machine("other")

    def fail(*_: object) -> None:
        raise LingarithError("cut off")

    monkeypatch.setattr(Remote, "push", fail)
    with pytest.raises(LingarithError, match="cut off"):
        one.put(made(), "r1")
    with pytest.raises(LingarithError, match="cut off"):
        one.keep("outputs/3f2a.json", {"outcomes": []})
    assert one.by_recipe("r1") is not None
    assert contents(one) == set()
    with pytest.raises(LingarithError, match="cut off"):
        one.catch_up()
    monkeypatch.undo()
    one.catch_up()
    assert other.by_recipe("r1") is not None
    assert other.resolve("xlsum[en]") == one.resolve("xlsum[en]")
    assert other.read("outputs/3f2a.json", "") == {"outcomes": []}
    newer = other.put(made(value=2.0))
    one.catch_up()
    assert one.resolve("xlsum[en]") == newer
    Store(one.folder).catch_up()  # nothing to do where all lies here


def test_a_damaged_object_is_refused_and_nothing_is_lost(machine: Callable[..., Store]) -> None:
    one, other = machine("one"), machine("other")
    digest = one.put(made(), "r1")
    place = f"objects/{digest}/vector.safetensors"
    content = bytearray((one.folder / place).read_bytes())
    content[-2] ^= 1
    assert one.remote
    one.remote.system.pipe_file(f"{one.remote.root}/{place}", bytes(content))
    refused = rf"^{one.place}/{place} or its origin.json was changed: .*; delete {one.place}/objects/{digest} and train"
    for read in (lambda: other.by_recipe("r1"), lambda: other.get("xlsum[en]")):
        with pytest.raises(LingarithError, match=refused):
            read()
    assert [problem.startswith(f"{one.place}/{place} or") for problem in other.verify()] == [True]
    assert not list(other.folder.rglob(f"{TEMPORARY}*"))
    assert not list(other.folder.rglob("vector.safetensors"))
    assert vector_hash(one.get("xlsum[en]")) == digest
    one.remote.remove(f"objects/{digest}")  # as the sentence says
    assert one.put(made(), "r1") == digest
    assert vector_hash(other.get("xlsum[en]")) == digest


def test_a_damaged_recipe(machine: Callable[..., Store]) -> None:
    one, other = machine("one"), machine("other")
    one.put(made(), "r1")
    assert one.remote
    one.remote.system.pipe_file(f"{one.remote.root}/recipes/r1.json", b"{")
    with pytest.raises(LingarithError, match=rf"^{one.place}/recipes/r1.json is damaged: not JSON"):
        other.by_recipe("r1")
    assert one.by_recipe("r1") is not None


def test_places_that_are_none(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for url, sentence in [
        ("s3://nobody/store", "s3://nobody/store cannot be used: .*bucket does not exist; see that"),
        ("s3://", "names no place for a store; give one, such as s3://bucket/store"),
        ("foo://x/y", "foo://x/y is no place for a store: Protocol not known: foo; name a folder"),
    ]:
        with pytest.raises(LingarithError, match=sentence):
            Store.at(url)
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (_ for _ in ()).throw(ImportError("Install s3fs")))
    with pytest.raises(LingarithError, match=r"needs a library .*Install s3fs\); pip install 'lingarith\[s3\]'"):
        Store.at("s3://bucket/x")
    with pytest.raises(LingarithError, match=r"pip install 'lingarith\[gcs\]'"):
        Store.at("gs://bucket/x")


def test_what_a_file_system_raises_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGARITH_CACHE", str(tmp_path / "cache"))
    store = Store.at("memory://rights/store/")
    assert store.place == "memory://rights/store"
    assert store.folder.parent == tmp_path / "cache"

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied.")

    monkeypatch.setattr(type(store.remote.system), "put_file", refuse)  # type: ignore[union-attr]
    with pytest.raises(LingarithError, match=r"cannot be used: Access Denied; see .*what was computed is kept"):
        store.put(made())
    assert vector_hash(store.get("xlsum[en]")) == vector_hash(made())

"""The store: content-addressed, atomic, verified; names move, objects stay."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.adapters.kronecker import KroneckerTerm
from lingarith.adapters.lora import LoraTerm
from lingarith.disk.temporary import TEMPORARY
from lingarith.disk.tensors import TensorFile
from lingarith.errors import LingarithError
from lingarith.store import objects as objects_module
from lingarith.store import store as store_module
from lingarith.store.objects import vector_hash
from lingarith.store.small import check_name
from lingarith.store.store import Store
from lingarith.vectors.outline import FlatTensors, LazyTerms, outline
from lingarith.vectors.vector import Update, Vector

HERE, ELSEWHERE = "f" * 64, "e" * 64


def made(name: str = "xlsum[en]", value: float = 1.0, backbone: str = HERE, **origin: Any) -> Vector:
    term = LoraTerm(torch.full((2, 3), value), torch.ones(4, 2))
    facts = {"kind": "task", "language": "en", "steps": 5, "backbone": {"name": "tiny", "fingerprint": backbone}}
    return Vector(name, {"layer.0.q": (term,), "layer.0.v": (term,)}, 1.0, facts | origin)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def object_file(store: Store, digest: str, name: str = "vector.safetensors") -> Path:
    return store.folder / "objects" / digest / name


def same(left: Vector, right: Vector) -> bool:
    ours, theirs = FlatTensors.of(left), FlatTensors.of(right)
    equal = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    return equal and (left.name, left.scale, left.origin) == (right.name, right.scale, right.origin)


def test_what_is_put_comes_back(store: Store) -> None:
    vector = made(options={"rate": 2e-4}, cost={"seconds": 1.5})
    digest = store.put(vector, "recipe1")
    assert digest == vector_hash(vector) == store.resolve("xlsum[en]", HERE)
    for back in (store.get("xlsum[en]", HERE), store.get("xlsum[en]"), store.get(digest), store.by_recipe("recipe1")):
        assert back is not None
        assert same(back, vector)
    assert store.verify() == []


def test_terms_of_both_kinds_come_back(store: Store) -> None:
    lora = LoraTerm(torch.randn(2, 6), torch.randn(4, 2))
    large = KroneckerTerm(torch.randn(1, 2, 3), torch.randn(1, 2, 2))
    small = KroneckerTerm(torch.randn(3, 1, 2), torch.randn(3, 4, 3))
    vector = replace(made(), terms={"q": (lora, small, large), "q.inner": (lora,), "r": (large,)})
    back = store.get(store.put(vector))
    assert same(back, vector)
    assert [[term.described() for term in terms] for terms in back.terms.values()] == [
        ["LoRA, rank 2", "3 × Kronecker 2 × 1", "Kronecker 3 × 2"], ["LoRA, rank 2"], ["Kronecker 3 × 2"],
    ]  # fmt: skip
    for path in vector.terms:
        assert torch.equal(Update(back.terms, "").delta(path), Update(vector.terms, "").delta(path))


def test_an_open_vector_reads_what_is_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.put(made())
    vector = store.open("xlsum[en]", HERE)
    asked: list[str] = []
    read = TensorFile.__getitem__

    def noted(self: TensorFile, name: str) -> torch.Tensor:
        asked.append(name)
        return read(self, name)

    monkeypatch.setattr(TensorFile, "__getitem__", noted)
    assert torch.equal(vector.terms["layer.0.v"][0].a, torch.ones(2, 3))
    assert asked == ["layer.0.v.lora.a", "layer.0.v.lora.b"]
    assert same(vector, store.get(digest))
    assert same(store.open(digest), made())
    with pytest.raises(KeyError):
        vector.terms["layer.1.v"]


def test_an_open_vector_can_be_put_under_another_name(store: Store) -> None:
    digest = store.put(made())
    assert store.put(replace(store.open("xlsum[en]"), name="again")) == digest
    assert store.resolve("again") == digest


def test_what_is_known_late(store: Store) -> None:
    terms, read = made().terms, []

    def one(path: str) -> tuple[LoraTerm, ...]:
        read.append(path)
        return terms[path]

    vector = replace(made(), terms=LazyTerms(outline(terms), one))
    digest = store.put(vector, late=lambda: {"error": len(read) / 4})
    assert read == ["layer.0.q", "layer.0.v"]
    assert store.get(digest).origin == made(error=0.5).origin
    assert digest == vector_hash(made(error=0.5))


def test_a_name_is_found_without_looking_at_the_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old = store.put(made())
    new = store.put(made(value=2.0))
    store.put(made("news[en]"))
    read, real = [], store_module.read_json

    def counted(path: Path, **how: Any) -> Any:
        read.append(path.name)
        return real(path, **how)

    monkeypatch.setattr(store_module, "read_json", counted)
    assert store.resolve("xlsum[en]") == new
    assert store.resolve(f"xlsum[en]@{old[:8]}") == old
    assert set(read) == {"xlsum%5Ben%5D.json"}


def test_what_vanishes_between_listing_and_reading_is_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.put(made())
    store.put(made("news[en]", value=2.0))
    real = objects_module.os.stat

    def stat(path: Any, **how: Any) -> os.stat_result:
        if digest in str(path):
            raise FileNotFoundError(path)
        return real(path, **how)

    monkeypatch.setattr(objects_module.os, "stat", stat)
    assert [entry.name for entry in store.entries()] == ["news[en]"]


def test_layout(store: Store) -> None:
    digest = store.put(made(), "r1")
    files = {str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file()}
    expected = {f"objects/{digest}/{name}" for name in ("vector.safetensors", "origin.json")}
    assert files == expected | {"names/ffffffffffffffff/xlsum%5Ben%5D.json", "recipes/r1.json"}


def test_hash_covers_all_but_name_and_volatile_facts() -> None:
    base = vector_hash(made())
    for volatile in ("cost", "versions", "made"):
        assert vector_hash(made(**{volatile: {"any": 1}})) == base
    assert vector_hash(made("other")) == base
    others = [made(value=2.0), made(seed=1), replace(made(), scale=2.0), made(backbone=ELSEWHERE)]
    assert len({base, *map(vector_hash, others)}) == 5


def test_hash_is_the_same_after_a_round_trip_of_odd_json(store: Store) -> None:
    vector = made(options={10: "ten", 9: (1, 2)}, text="ж\u2028", tiny=5e-324)
    assert vector_hash(store.get(store.put(vector))) == vector_hash(vector)


def test_put_twice_changes_nothing(store: Store) -> None:
    digest = store.put(made(cost={"seconds": 1}))
    assert store.put(made(cost={"seconds": 2})) == digest
    assert store.get(digest).origin["cost"] == {"seconds": 1}
    assert len(store.entries()) == 1


def test_one_object_under_two_names(store: Store) -> None:
    digest = store.put(made("first"))
    assert store.put(made("second"), "r2") == digest
    assert store.get("second").name == "second"
    recalled = store.by_recipe("r2")
    assert recalled is not None
    assert recalled.name == "second"
    assert [(entry.name, entry.current) for entry in store.entries()] == [("first", True), ("second", True)]


def test_moved_name_leaves_the_old_object(store: Store) -> None:
    old, new = store.put(made(value=1.0)), store.put(made(value=2.0))
    assert store.resolve("xlsum[en]", HERE) == new
    assert store.resolve(f"xlsum[en]@{old[:4]}", HERE) == old
    assert store.get(f"xlsum[en]@{old[:12]}").name == "xlsum[en]"
    assert [(entry.hash, entry.current) for entry in store.entries()] == [(new, True), (old, False)]
    with pytest.raises(LingarithError, match=rf"no vector matches .*; there are: .*xlsum\[en\]@{old[:12]}"):
        store.resolve("xlsum[en]@0123456789", HERE)
    with pytest.raises(LingarithError, match="no vector matches"):
        store.resolve("xlsum[en]@", HERE)


def test_entry(store: Store) -> None:
    digest = store.put(made())
    (entry,) = store.entries()
    assert (entry.name, entry.hash, entry.backbone, entry.kind) == ("xlsum[en]", digest, HERE, "task")
    assert (entry.language, entry.steps, entry.current) == ("en", 5, True)
    assert entry.size_bytes == sum(path.stat().st_size for path in object_file(store, digest).parent.iterdir())
    assert entry.origin == made().origin


def test_unknown_name_and_other_backbone(store: Store) -> None:
    store.put(made())
    with pytest.raises(LingarithError) as problem:
        store.resolve("xlsum[eng]", HERE)
    assert str(problem.value) == f"no vector named 'xlsum[eng]' in {store.folder}; did you mean xlsum[en]?"
    belongs = r"'xlsum\[en\]' in .* belongs to backbone tiny \(f{16}\), not to e{16}; train"
    with pytest.raises(LingarithError, match=belongs):
        store.resolve("xlsum[en]", ELSEWHERE)
    with pytest.raises(LingarithError, match=belongs):
        store.get(store.resolve("xlsum[en]"), ELSEWHERE)
    with pytest.raises(LingarithError, match="train it first"):
        store.resolve("xlsum[eng]", ELSEWHERE)
    store.put(made(backbone=ELSEWHERE))
    assert store.get("xlsum[en]", ELSEWHERE).origin["backbone"]["fingerprint"] == ELSEWHERE
    with pytest.raises(LingarithError, match="exists for several backbones; name one of ") as problem:
        store.get("xlsum[en]")
    offered = re.findall(r"(xlsum\[en\]@[0-9a-f]{12}) \(([ef]{16})\)", str(problem.value))
    found = {store.get(name).origin["backbone"]["fingerprint"][:16]: own for name, own in offered}
    assert found == {one[:16]: one[:16] for one in (HERE, ELSEWHERE)}


def test_what_differs_between_backbones_is_said(store: Store) -> None:
    parts = {"configuration": {"hidden_act": "silu", "layers": 2}, "weights": "a1", "vocabulary": "b2"}
    digest = store.put(made(parts=parts))
    assert digest == vector_hash(made())  # the fingerprint stands for them
    here = parts | {"configuration": {"hidden_act": "gelu", "layers": 2}}
    said = r"not to e{16} \(its hidden_act is 'silu' and 'gelu' here\); train"
    for read in (store.get, store.open, store.resolve):
        with pytest.raises(LingarithError, match=said):
            read("xlsum[en]", ELSEWHERE, here)
    with pytest.raises(LingarithError, match=r"\(its hidden_act .* here, its weights are others\)"):
        store.get(digest, ELSEWHERE, here | {"weights": "c3"})
    store.put(made(value=2.0))
    with pytest.raises(LingarithError, match=r"not to e{16}; train"):
        store.get("xlsum[en]", ELSEWHERE, here)


def test_missing_store(store: Store) -> None:
    for read in (store.entries, store.verify, lambda: store.get("xlsum[en]"), lambda: store.get("0" * 64)):
        with pytest.raises(LingarithError, match="there is no store at"):
            read()
    assert store.by_recipe("r1") is None
    assert not store.folder.exists()


NO_NAMES = ["", ".", "..", "a/b", "../a", "a..b", "a\0", "a\n", "a b", "-a", "a-b", "%2e%2e", "naïve"]
NO_NAMES += ["a[b", "a]b[", "a[b][c]", "a[../b]", "a[]", "a@3f2a", "f" * 64, "a" * 101]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_are_none(store: Store, name: str) -> None:
    with pytest.raises(LingarithError, match=r"cannot name a vector|at most 100 characters"):
        store.put(made(name))
    assert not store.folder.exists()


@pytest.mark.parametrize("name", ["xlsum[en]", "mc4[zh-Hans]", "a_1.b", "A" * 100])
def test_names(name: str) -> None:
    assert check_name(name) == name


def test_objects_that_lie_elsewhere(store: Store, tmp_path: Path) -> None:
    store.put(made())
    objects = store.folder / "objects"
    objects.rename(tmp_path / "bigger disk")
    objects.symlink_to(tmp_path / "bigger disk")
    with pytest.raises(LingarithError, match=r"objects leads out of the store; let .*store itself be the link"):
        store.entries()
    assert "leads out of" in store.verify()[0]
    objects.unlink()
    (tmp_path / "bigger disk").rename(objects)
    store.folder.rename(tmp_path / "whole")
    store.folder.symlink_to(tmp_path / "whole")
    assert [entry.name for entry in store.entries()] == [made().name]
    assert store.verify() == []


def test_vectors_that_cannot_be_put(store: Store) -> None:
    odd = LoraTerm(torch.ones(2, 3), torch.ones(4, 3))
    half = LoraTerm(torch.ones(2, 3).half(), torch.ones(4, 2).half())
    nan = LoraTerm(torch.full((2, 3), float("nan")), torch.ones(4, 2))
    wide, other = LoraTerm(torch.ones(1, 3), torch.ones(4, 1)), LoraTerm(torch.ones(1, 3), torch.ones(5, 1))
    for vector, sentence in [
        (replace(made(), origin={}), "names no backbone"),
        (made(backbone="../../x"), "names no backbone"),
        (made(note=float("nan")), "must be plain JSON"),
        (made(note={1, 2}), "must be plain JSON"),
        (replace(made(), terms={}), "no projection"),
        (replace(made(), terms={"q": ()}), "'q' has no float32 factors that fit together"),
        (replace(made(), terms={"q": (odd,)}), "'q' has no float32 factors that fit together"),
        (replace(made(), terms={"q": (half,)}), "'q' has no float32 factors that fit together"),
        (replace(made(), terms={"q": (wide, other)}), "'q' has no float32 factors that fit together"),
        (replace(made(), terms={"q": (nan,)}), r"vector xlsum\[en\]: tensor 'q.lora.a' holds NaN or Inf"),
    ]:
        with pytest.raises(LingarithError, match=sentence):
            store.put(vector)
    with pytest.raises(LingarithError, match="is no recipe's hash"):
        store.by_recipe("../x")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


def poisoned(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4] + b"\x00\x00\xc0\x7f")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [(truncated, "is damaged"), (flipped, "was changed"), (poisoned, "NaN"), (os.remove, "does not exist")],
)
def test_damaged_tensors(store: Store, damage: Any, sentence: str) -> None:
    digest = store.put(made(), "r1")
    damage(object_file(store, digest))
    expected = rf"vector\.safetensors.*{sentence}.*; delete the folder .*{digest} and train the vector again$"
    for read in (lambda: store.get("xlsum[en]", HERE), lambda: store.by_recipe("r1")):
        with pytest.raises(LingarithError, match=expected):
            read()
    assert len(store.verify()) == 1
    assert sentence in store.verify()[0]
    assert store.put(made(), "r1") == digest  # putting it again mends it
    assert store.verify() == []
    assert os.listdir(store.folder / "objects") == [digest]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scale": 2.0}, "was changed"),
        ({"origin": made(seed=3).origin}, "was changed"),
        ({"origin": {}}, "names no backbone"),
        ({"scale": "1"}, "its scale is wrong"),
        ({"name": "../x"}, "its hash or name is wrong"),
        ({"hash": "0" * 64}, "its hash or name is wrong"),
        ({"schema": 99}, "another version"),
    ],
)
def test_changed_manifest(store: Store, change: dict[str, Any], sentence: str) -> None:
    digest = store.put(made())
    path = object_file(store, digest, "origin.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LingarithError, match=sentence):
        store.get("xlsum[en]", HERE)
    assert len(store.verify()) == 1


def test_half_written_object(store: Store) -> None:
    digest = store.put(made(), "r1")
    object_file(store, digest, "origin.json").unlink()
    assert store.by_recipe("r1") is None  # made again rather than believed
    assert store.entries() == []
    (problem,) = store.verify()
    assert problem.startswith(f"{store.folder}/objects/{digest} is half-written: it has no origin.json; delete")
    store.put(made(), "r1")
    assert store.verify() == []


def test_dangling_and_damaged_names(store: Store) -> None:
    digest = store.put(made(), "r1")
    shutil.rmtree(store.folder / "objects" / digest)
    assert store.by_recipe("r1") is None
    assert [problem.partition(": ")[2] for problem in store.verify()] == [
        "the object xlsum[en] means is gone; train it again or delete this file"
    ]
    with pytest.raises(LingarithError, match="no object"):
        store.get("xlsum[en]", HERE)
    (store.folder / "names" / HERE[:16] / "xlsum%5Ben%5D.json").write_text("{}")
    assert ["it names no vector" in problem for problem in store.verify()] == [True]
    assert store.entries() == []


def test_reads_stay_inside(store: Store, tmp_path: Path) -> None:
    digest = store.put(made())
    outside = tmp_path / "outside.safetensors"
    object_file(store, digest).rename(outside)
    object_file(store, digest).symlink_to(outside)
    with pytest.raises(LingarithError, match=rf"leads out of .*{digest}; "):
        store.get("xlsum[en]", HERE)
    assert ["leads out of " in problem for problem in store.verify()] == [True]


@pytest.mark.parametrize("moment", range(8))
def test_full_disk_at_any_moment(store: Store, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    old = store.put(made(value=1.0), "r1")
    fsync, calls = os.fsync, []

    def fail(handle: int) -> None:
        calls.append(handle)
        if len(calls) == moment + 1:
            raise OSError(errno.ENOSPC, "full")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LingarithError, match="no space left to write"):
        store.put(made(value=2.0), "r1")
    monkeypatch.undo()
    assert store.verify() == []
    assert same(store.get(old), made(value=1.0))
    assert not list(store.folder.rglob(f"{TEMPORARY}*"))


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("moment", range(8))
def test_killed_at_any_moment(store: Store, moment: int) -> None:
    old = store.put(made(value=1.0), "r1")
    child = os.fork()
    if child == 0:
        moments = iter(range(8))
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL) if next(moments) == moment else None
        store.put(made(value=2.0), "r1")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert [problem for problem in store.verify() if "was left by a process" not in problem] == []
    assert same(store.get(old), made(value=1.0))
    recalled = store.by_recipe("r1")
    assert recalled is not None
    assert FlatTensors.of(recalled)["layer.0.q.lora.a"][0, 0] in (1.0, 2.0)
    assert store.resolve("xlsum[en]") in (old, vector_hash(made(value=2.0)))
    assert same(store.get(store.put(made(value=2.0), "r1")), made(value=2.0))


WRITER = """
import os, sys, torch
from pathlib import Path
from lingarith.errors import LingarithError
from lingarith.store.store import Store
from lingarith.adapters.lora import LoraTerm
from lingarith.vectors.vector import Vector
store = Store(Path(sys.argv[1]))
origin = {"backbone": {"name": "tiny", "fingerprint": "f" * 64}}
other = "twice" in sys.argv and os.fork()
try:
    for number in range(int(sys.argv[2])):
        term = LoraTerm(torch.full((2, 3), float(number)), torch.ones(int(sys.argv[3]), 2))
        store.put(Vector(f"v[{number % 7}]", {"q": (term,)}, 1.0, origin), f"r{number}")
        print(f"{number}\\n", end="", flush=True)  # in one piece: two processes write to one pipe
except LingarithError as problem:
    print(problem)
print(*store.verify(), sep="\\n", flush=True)
if other:
    assert os.waitpid(other, 0)[1] == 0
"""


def test_processes_that_put_the_same_at_once(store: Store) -> None:
    """Two that begin at the same moment: the second is a fork of the first."""
    command = [sys.executable, "-c", WRITER, str(store.folder), "60", "4", "twice"]
    said = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "src"}, check=True, timeout=300
    ).stdout
    assert said.splitlines().count("59") == 2
    assert "damaged" not in said
    assert "half-written" not in said
    assert store.verify() == []
    assert len({entry.hash for entry in store.entries()}) == 60
    assert all(store.by_recipe(f"r{number}") is not None for number in range(60))


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    inside = 'mount -t tmpfs -o size=192k tmpfs "$1" && exec "$2" -c "$3" "$1/store" 1000 2000'
    command = ["unshare", "-Urm", "sh", "-c", inside, "sh", str(tmp_path), sys.executable, WRITER]
    if not shutil.which("unshare") or subprocess.run([*command[:4], "mount -t tmpfs tmpfs /mnt"]).returncode:
        pytest.skip("mounting is not permitted here")
    lines = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "src"}, check=True
    ).stdout.splitlines()
    written, message, problems = lines[:-2], lines[-2], lines[-1]
    assert len(written) > 2
    assert message.startswith(f"no space left to write {tmp_path}/store/")
    assert problems == ""


def exchanged(store: Store, one: Path, other: Path) -> None:
    contents = one.read_bytes(), other.read_bytes()
    other.write_bytes(contents[0])
    one.write_bytes(contents[1])


@pytest.mark.parametrize("old", [False, True])
def test_names_and_recipes_that_changed_places_are_refused(store: Store, old: bool) -> None:
    """Also in a store that is older than the hashes of these files, by what the vectors say of themselves."""
    digests = {name: store.put(made(name, value), name[-3:-1]) for name, value in (("x[en]", 1.0), ("x[pt]", 2.0))}
    if old:
        for path in store.folder.glob("names/*/*.json"):
            path.write_text(json.dumps(json.loads(path.read_text())["is"]))
        for path in store.folder.glob("recipes/*.json"):
            path.write_text(json.dumps(json.loads(path.read_text())["is"]))
    assert store.verify() == []
    assert store.resolve("x[en]") == digests["x[en]"]
    exchanged(store, *sorted(store.folder.glob("names/*/*.json")))
    exchanged(store, *sorted(store.folder.glob("recipes/*.json"))) if not old else None
    assert len(store.verify()) == (2 if old else 4)
    with pytest.raises(LingarithError, match=r"names/.*delete this file"):
        store.get("x[en]")
    if not old:
        with pytest.raises(LingarithError, match=r"recipes/en\.json was changed, or belongs in another place"):
            store.by_recipe("en")


def test_a_name_that_is_turned_to_another_vector_is_refused(store: Store) -> None:
    digests = [store.put(made("x[en]"), "en"), store.put(made("x[pt]", 2.0), "pt")]
    for path, name in (
        (next(store.folder.glob("names/*/*en*.json")), "x[en]"),
        (store.folder / "recipes/en.json", "x[en]"),
    ):
        path.write_text(json.dumps({"name": name, "hash": digests[1]}))
    for read in (lambda: store.get("x[en]"), lambda: store.by_recipe("en")):
        with pytest.raises(LingarithError, match=r"x\[en\] means the vector x\[pt\] here; delete this file"):
            read()
    assert len(store.verify()) == 2


def test_a_second_file_of_a_name_means_nothing(store: Store) -> None:
    digest = store.put(made("x[en]"))
    store.put(made("x[pt]", 2.0))
    path = next(store.folder.glob("names/*/*pt*.json"))
    path.with_name("x[en].json").write_bytes(path.read_bytes())
    assert store.resolve("x[en]") == digest
    [problem] = store.verify()
    assert "x[en].json" in problem


@pytest.mark.parametrize("scale", [math.nan, math.inf, 1e308, -1e308])
def test_scales_that_are_none(store: Store, scale: float) -> None:
    with pytest.raises(LingarithError, match="a scale of"):
        store.put(replace(made(), scale=scale))


def test_verify_reads_what_is_kept_of_compositions(store: Store) -> None:
    store.put(made())
    store.keep("outputs/x.json", {"outcomes": []})
    store.keep("losses/x.json", {"loss": 2.0})
    assert store.verify() == []
    (store.folder / "losses/x.json").write_text((store.folder / "losses/x.json").read_text().replace("2.0", "1.0"))
    (store.folder / "outputs/x.json").rename(store.folder / "outputs/y.json")
    assert [said.partition(" was changed")[0].rpartition("/")[2] for said in store.verify()] == ["y.json", "x.json"]


@pytest.mark.parametrize("content", ["{}", '{"loss": 1.0}'])
def test_a_loss_without_a_hash_is_refused(store: Store, content: str) -> None:
    store.keep("losses/x.json", {"loss": 2.0})
    (store.folder / "losses/x.json").write_text(content)
    with pytest.raises(LingarithError, match=r"losses/x\.json was changed"):
        store.read("losses/x.json", "delete it")


def test_a_vector_that_has_the_older_fingerprint_of_its_backbone(store: Store) -> None:
    """Fingerprints were of samples once; what has one like that is taken where it matches, and says so."""
    old, new, other = "a" * 64, "b" * 64, "c" * 64
    digest = store.put(made("news[pt]", backbone=old))
    for name in ("news[pt]", f"news[pt]@{digest[:6]}", digest):
        its = store.get(name, new, {"sampled": old}).origin["backbone"]
        assert (its["fingerprint"], its["sampled"]) == (new, old)
        with pytest.raises(LingarithError, match=r"belongs to (another )?backbone"):
            store.get(name, new, {"sampled": other})

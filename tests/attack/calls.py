"""Calls of the library that write, what a reader may see at any moment of each, and what must be there in the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from lingarith.adapters.lora import LoraTerm
from lingarith.algebra import parse
from lingarith.disk.temporary import TEMPORARY
from lingarith.formats.peft import open_peft, write_peft
from lingarith.formats.serving import write_serving
from lingarith.store.store import Store
from lingarith.study.records import About, Example, Record
from lingarith.study.run_folder import RunFolder, read_run
from lingarith.vectors.composition import Composition, Space
from lingarith.vectors.vector import Vector

ABOUT = About("identity", "Summaries", "adapt")


@cache
def vector(name: str, value: float) -> Vector:
    term = LoraTerm(torch.full((2, 3), value), torch.ones(4, 2))
    facts = {"kind": "language", "language": "en", "steps": 5, "backbone": {"name": "tiny", "fingerprint": "f" * 64}}
    return Vector(name, {"layer.0.q": (term,), "layer.0.v": (term,)}, 1.0, facts)


def store(place: Path) -> Store:
    return Store(place / "store")


def nothing(place: Path) -> None:
    """A place where nothing is yet."""


def put(place: Path) -> None:
    store(place).put(vector("news[en]", 1.0), "r1")


def put_another(place: Path) -> None:
    store(place).put(vector("news[en]", 2.0), "r2", late=lambda: {"error": 0.25})


def damaged(place: Path) -> None:
    put(place)
    [file] = place.glob("store/objects/*/vector.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"?")


def log(place: Path) -> None:
    [folder] = store(place).folder.glob("objects/*")
    store(place).write(f"objects/{folder.name}/log.jsonl", b'{"step": 1}\n')


def outputs(place: Path) -> None:
    store(place).keep("outputs/ab.json", {"outcomes": ["x" * 99]})


def composition(text: str) -> Composition:
    return Composition(parse(text), {"news[en]": vector("news[en]", 1.0)}, Space("delta"))


def adapter(place: Path) -> None:
    given = {"base_model": "x", "task_type": "CAUSAL_LM", "origin": {"expression": "one"}}
    write_peft(composition("news[en]"), place / "adapter", **given)  # type: ignore[arg-type]


def adapter_again(place: Path) -> None:
    given = {"base_model": "x", "task_type": "CAUSAL_LM", "origin": {"expression": "two"}}
    write_peft(composition("2*news[en]"), place / "adapter", **given)  # type: ignore[arg-type]


def served(place: Path) -> None:
    given = {"base_model": "x", "task_type": "CAUSAL_LM", "origin": {"expression": "one"}}
    write_serving(composition("news[en]"), place / "adapter", **given)  # type: ignore[arg-type]


def records(place: Path) -> None:
    folder = RunFolder(place / "run")
    with folder.alone(lambda: None):
        folder.open(ABOUT)
        for k in range(3):
            article = Example("pt", "test", str(k), "ü" * 50, "b")
            folder.add([article, Record("pt", "test", "add", 0.5, str(k), "ü" * 30, 1.0, "target")])
        folder.close(ABOUT)


@dataclass(frozen=True)
class Call:
    """Something that writes, after something else was there already."""

    before: Callable[[Path], None]
    write: Callable[[Path], None]


CALLS = {
    "a vector": Call(nothing, put),
    "a vector again": Call(put, put),
    "a name moves": Call(put, put_another),
    "a damaged object": Call(damaged, put),
    "a log": Call(put, log),
    "outputs": Call(nothing, outputs),
    "an adapter": Call(nothing, adapter),
    "an adapter over another": Call(adapter, adapter_again),
    "a folder for servers": Call(nothing, served),
    "lines of a run": Call(nothing, records),
}


def begun(place: Path, call: Call) -> None:
    """A place as it is before a call."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    call.before(place)


def contents(place: Path) -> dict[str, bytes]:
    """All that is there, but for locks and what a killed process left."""
    files = (path for path in sorted(place.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(place)): path.read_bytes() for path in files if TEMPORARY not in str(path)}


def seen(place: Path, call: Call) -> list[str]:
    """What is wrong for somebody who reads now: nothing half may be there, and nothing may be gone that was."""
    problems = []
    if (place / "store").exists() and call.before is not damaged:
        problems += [one for one in store(place).verify() if "was left by a process" not in one]
        [store(place).get(entry.hash) for entry in store(place).entries()]
    if call.before is adapter and not (place / "adapter").exists():
        problems.append("the adapter is gone")
    if (place / "adapter").exists():
        read = open_peft(place / "adapter", "x")
        [read.terms[path] for path in read.terms]
    if (place / "run" / "run.json").exists():
        read_run(place / "run")
    return problems


def forked(work: Callable[[], None]) -> int:
    """The status of a child that does some work."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(70)
    return os.waitpid(child, 0)[1]

"""Stores of many vectors, long sums, and runs of many records: how time and memory grow.

    python benchmarks/load.py --vectors 1000 10000 --records 10000 100000 1000000 --out load.json

Each command runs in a fork of a process that has the libraries loaded, so what is counted is its own work: seconds of
the processor and by the clock (the machine may have other work), and the most memory beyond what the libraries take.
Vectors are small (4 projections of 8 × 8), and a process may have no more than 256 files open.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.algebra import parse
from lingarith.cli.main import main as command
from lingarith.formats.peft import write_peft
from lingarith.store.store import Store
from lingarith.study.records import About, Choice, Example, Record
from lingarith.study.run_folder import append
from lingarith.study.weights import Curve
from lingarith.vectors.composition import Composition, Space
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Vector, content_hash

SHAPES = {f"encoder.block.0.layer.0.SelfAttention.{which}": (8, 8) for which in "qkvo"}
METHODS = {"baseline": (None,), "add": (0.95, 1.0), "add_subtract": (0.9, 0.5), "uncoupled": (0.4, 0.2)}
TARGETS, FILES = ("pt", "uk", "fa"), 256


def vectors(count: int) -> Iterator[Vector]:
    """LoRA vectors of rank 2 that were trained from one start, by their origin."""
    start = Lora(2).init(SHAPES, 0)
    begun = content_hash(FlatTensors({path: (term,) for path, term in start.items()}))
    for k in range(count):
        chance = torch.Generator().manual_seed(k)

        def moved(tensor: torch.Tensor, chance: torch.Generator = chance) -> torch.Tensor:
            return tensor + 0.1 * torch.randn(tensor.shape, generator=chance)

        terms = {path: (LoraTerm(moved(a), moved(b)),) for path, (a, b) in start.items()}
        origin = {
            "kind": "language", "language": f"x{k}", "data": {"source": "x", "fingerprint": "f" * 64, "documents": 3},
            "backbone": {"name": "tiny", "revision": None, "fingerprint": "ab" * 32},
            "adapter": {"kind": "lora", "rank": 2}, "init_seed": 0, "init_hash": begun, "seed": 0, "steps": 3,
            "cost": {"seconds": 1.0, "tokens": 10, "examples": 12},
        }  # fmt: skip
        yield Vector(f"text[x{k}]", terms, 1.0, origin)


def run_folder(folder: Path, count: int) -> None:
    """A run of about ``count`` records: three targets, four methods, two weights of those that have one."""
    about = About(
        "identity", "Summaries", "adapt", tasks={"summaries": "ROUGE-2"}, targets=list(TARGETS), sources=["en"],
        methods=dict(zip(METHODS, METHODS, strict=True)), tried=list(METHODS)[1:], protocol="sources",
    )  # fmt: skip
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(asdict(about)))
    each = count // (len(TARGETS) * 7)
    for target in TARGETS:
        ids = [f"{target}-{k}" for k in range(each)]
        titles = (f"{target[0]}on{k % 97:02}" for k in range(each))
        examples = zip(ids, titles, strict=True)
        append(folder, [Example(target, "test", one, "Uma ponte.", title, task="summaries") for one, title in examples])
        for method, weights in METHODS.items():
            for weight in weights:
                made = ((one, f"Ponte nova {k % 997}", k * 7919 % 1000 / 10) for k, one in enumerate(ids))
                append(folder, [Record(target, "test", method, weight, *one, "target", "summaries") for one in made])
            if weights[0]:
                curve: Curve = [(weight, 9.0) for weight in weights if weight]
                append(folder, [Choice(target, method, "sources", weights[0], 9.0, "x", curve, "summaries")])


def measured(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds of the processor and by the clock, and the megabytes that a fork took beyond what was loaded."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        code, (soft, hard) = 1, resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(BaseException):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, FILES), hard))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began, clock = time.process_time(), time.perf_counter()
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                work()
            facts = {"processor": time.process_time() - began, "clock": time.perf_counter() - clock}
            facts["megabytes"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
            os.write(there, json.dumps({name: round(value, 3) for name, value in facts.items()}).encode())
            code = 0
        os._exit(code)
    os.close(there)
    with open(here, "rb") as told:
        answer = told.read()
    assert os.waitpid(child, 0)[1] == 0, "the command failed"
    return dict(json.loads(answer))


def typed(*words: str | Path) -> Callable[[], None]:
    """A command line."""

    def run() -> None:
        sys.argv = ["lingarith", *map(str, words)]
        try:
            command()
        except SystemExit as end:
            if end.code:
                raise

    return run


def of_store(place: Path, count: int, terms: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is done with a store of so many vectors."""
    store = Store(place / f"{count}")
    for k, vector in enumerate(vectors(count)):
        store.put(vector, recipe=f"{k:064d}")
    where = ("--store", store.folder)
    older = f"text[x7]@{store.resolve('text[x7]')[:8]}"
    adapter = place / f"adapter-{count}"
    composition = Composition(parse("text[x7]"), {"text[x7]": store.open("text[x7]")}, Space("delta"))
    write_peft(composition, adapter, base_model="tiny", task_type="SEQ_2_SEQ_LM", origin={})
    (adapter / "lingarith.json").unlink()
    total = " + ".join(f"{(k + 1) / 1000:g}*text[x{k}]" for k in range(0, count, max(1, count // terms)))
    time.sleep(2.5)  # a file that was written a moment ago is read again
    yield "vectors list, first", typed("vectors", "list", *where)
    yield "vectors list", typed("vectors", "list", *where)
    yield "vectors show name", typed("vectors", "show", "text[x7]", *where)
    yield "vectors show name@hash", typed("vectors", "show", older, *where)
    yield "vectors verify", typed("vectors", "verify", *where)
    yield "import, backbone found", typed("import", adapter, "--name", "got", *where)
    how = ("--space", "delta", "--rank-out", "8", "--out", place / "sum")
    yield f"compose, {total.count('+') + 1} terms", typed("compose", total, *how, *where)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--vectors", type=int, nargs="*", default=[1000, 10_000])
    words.add_argument("--terms", type=int, default=500)
    words.add_argument("--records", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    words.add_argument("--out", type=Path)
    given, found = words.parse_args(), []
    torch.set_num_threads(1)
    gc.set_threshold(100_000)  # as the command does
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["LINGARITH_CACHE"] = str(place / "cache")

        def note(what: str, size: int, work: Callable[[], Any]) -> None:
            found.append({"what": what, "size": size, **measured(work)})
            line = found[-1]
            seconds = f"{line['processor']:7.2f} s  {line['clock']:7.2f} s by the clock"
            print(f"{size:>9,}  {what:<26} {seconds}  {line['megabytes']:6.0f} MB", flush=True)

        for count in given.vectors:
            for what, work in of_store(place, count, given.terms):
                note(what, count, work)
        for count in given.records:
            run = place / f"run-{count}"
            run_folder(run, count)
            line = Record("pt", "test", "add", 0.5, "x", "y", 1.0, "target", "summaries")
            note("report", count, typed("report", run, "--out", place / "report"))
            note("a line more", count, partial(append, run, [line]))
    if given.out:
        given.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

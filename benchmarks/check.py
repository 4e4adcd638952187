"""Counts that say how much work things are, whatever the clock says: none of them may rise.

    python benchmarks/check.py            (make bench-check)
    python benchmarks/check.py --write    where a rise is wanted, or other versions of libraries count otherwise

Operations, forward passes, tokens and logits of training and of generation on the newsroom's backbone; files opened and
bytes read by listings and a composition; modules of others that commands import. All are the same at every run.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")
LIBRARIES = ("numpy", "pydantic", "rich", "safetensors", "torch", "transformers", "typer")
SENTENCE = "The council of the town said on Monday that the new bridge over the river would open in May. "
STARTS = {
    "import lingarith": "import lingarith",
    "lingarith --help": "from lingarith.cli.main import main; sys.argv = ['lingarith', '--help']; main()",
    "lingarith vectors list": (
        "from lingarith.cli.main import main; sys.argv = ['lingarith', 'vectors', 'list', '--store', STORE]; main()"
    ),
}
Counts = dict[str, int]


def made_with() -> dict[str, str]:
    """What counts are comparable with."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def rises(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """A sentence for each count that is higher than it was, or was not there.

    >>> rises({"a": 1, "b": 2}, {"a": 2, "b": 1, "c": 3})
    ['a: 2, and it was 1', 'c: 3, and it was not counted before']
    """
    found = [
        f"{name}: {one:,}, and it was {before[name]:,}" for name, one in now.items() if one > before.get(name, one)
    ]
    return found + [
        f"{name}: {one:,}, and it was not counted before" for name, one in now.items() if name not in before
    ]


@contextmanager
def counted(on: Any, what: str, counts: Counts) -> Iterator[None]:
    """While open, what the model does is counted."""
    from torch import nn
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    seen: Counter[str] = Counter()

    class Operations(TorchDispatchMode):
        def __init__(self) -> None:
            TorchDispatchMode.__init__(self)

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            seen["operations"] += 1
            if formula := flop_registry.get(function._overloadpacket):
                seen["floating-point operations of products"] += formula(*args, **(kwargs or {}), out_val=result)
            return result

    def passed(*_: Any) -> None:
        seen["forward passes"] += 1

    def embedded(_: Any, inputs: Any, output: Any) -> None:
        seen["tokens computed"] += inputs[0].numel()

    def compared(_: Any, inputs: Any, output: Any) -> None:
        seen["positions with logits"] += output.shape[:-1].numel()

    model, head = on.model, on.model.get_output_embeddings()
    handles = [model.register_forward_hook(passed), head.register_forward_hook(compared)]
    for module in model.modules():  # encoder and decoder may each have one, with the same weights
        if isinstance(module, nn.Embedding) and module.num_embeddings == head.out_features:
            handles.append(module.register_forward_hook(embedded))
    try:
        with Operations():
            yield
    finally:
        for handle in handles:
            handle.remove()
    counts.update({f"{what}: {name}": count for name, count in sorted(seen.items())})


@contextmanager
def reading(what: str, counts: Counts) -> Iterator[None]:
    """While open, files that are opened are counted, and bytes that are read where the system tells them."""
    opened: list[str] = []
    _watched.append(opened)
    before, own = _read()
    try:
        yield
    finally:
        _watched.remove(opened)
    counts[f"{what}: files opened"] = len(opened)
    if before:
        counts[f"{what}: bytes read"] = _read()[0] - before - own


_watched: list[list[str]] = []


def _hear(event: str, arguments: Any) -> None:
    if event == "open" and not str(arguments[0]).startswith(("/proc", sys.prefix)):
        for opened in _watched:
            opened.append(str(arguments[0]))


def _read() -> tuple[int, int]:
    """Bytes that this process has read so far (0 where the system says none), and those that finding it out takes."""
    io = Path("/proc/self/io")
    told = io.read_text() if io.exists() else "rchar: 0"
    return int(told.split()[1]), len(told)


def of_the_model() -> Counts:
    """A vector in training for three steps of four rows, two side by side, and eight outputs."""
    import torch

    from lingarith.adapters.lora import Lora
    from lingarith.model.batches import TaskItems
    from lingarith.model.generate import generate
    from lingarith.model.loading import load
    from lingarith.model.members import Training
    from lingarith.model.options import Decoding, TrainOptions
    from lingarith.model.train import train

    on, counts = load(device="cpu"), Counts()
    chance = torch.Generator().manual_seed(0)
    rows = torch.randint(2, 10_000, (12, 48), generator=chance).tolist()
    items = TaskItems([(row[: 24 + k], row[24 + k : 36 + k]) for k, row in enumerate(rows)])
    options = TrainOptions(steps=3, batch_size=4, adapter=Lora(4), precision="float32")
    for together in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            some = [Training(f"x{k}", items, options, Path(folder) / str(k)) for k in range(together)]
            with counted(on, f"training {together}", counts):
                list(train(on, some, together=together))
    inputs = [(SENTENCE * 3)[: 40 + 20 * k] for k in range(8)]
    with counted(on, "writing", counts):
        generate(on, inputs, Decoding(max_input=64, max_output=8))
    return counts


def of_a_store(folder: Path) -> Counts:
    """Twenty vectors listed for the first time and again, and three of them summed into a folder for PEFT."""
    import torch

    from lingarith.adapters.lora import Lora, LoraTerm
    from lingarith.algebra import parse
    from lingarith.formats.peft import write_peft
    from lingarith.store.store import Store
    from lingarith.vectors.composition import Composition, Space
    from lingarith.vectors.vector import Vector

    shapes = {f"encoder.block.0.layer.0.SelfAttention.{which}": (64, 64) for which in "qkvo"}
    start, store, counts = Lora(4).init(shapes, 0), Store(folder / "store"), Counts()
    for k in range(20):
        chance = torch.Generator().manual_seed(k)
        terms = {path: (LoraTerm(a, torch.randn(b.shape, generator=chance)),) for path, (a, b) in start.items()}
        store.put(Vector(f"x{k}", terms, 1.0, {"backbone": {"name": "x", "fingerprint": "ab" * 32}, "steps": 1}))
    for file in store.folder.rglob("*"):
        os.utime(file, (0, 0))  # one that was written a moment ago is read again
    for what in ("a first listing", "a listing"):
        with reading(what, counts):
            store.entries()
    for what in ("once", "a composition"):  # the first one imports what it needs
        with reading(what, counts):
            three = {name: store.open(name) for name in ("x1", "x2", "x3")}
            composition = Composition(parse("x1 + x2 - x3"), three, Space("delta"))
            write_peft(composition, folder / what, base_model="x", task_type="SEQ_2_SEQ_LM")
    return {name: count for name, count in counts.items() if not name.startswith("once")}


def of_starting(store: Path) -> Counts:
    """Modules of others, Python's own among them, that commands import."""
    counts, told = Counts(), "print(sum(not name.startswith('lingarith') for name in sys.modules))"
    for what, code in STARTS.items():
        ends = f"import sys, atexit; STORE = {str(store)!r}\natexit.register(lambda: {told})\n{code}"
        done = subprocess.run([sys.executable, "-c", ends], capture_output=True, text=True, check=True)
        counts[f"{what}: modules"] = int(done.stdout.split()[-1])
    return counts


def counts() -> Counts:
    """All of them; nothing is taken from this machine's cache."""
    sys.addaudithook(_hear)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LINGARITH_CACHE"] = f"{folder}/cache"
        return of_a_store(Path(folder)) | of_starting(Path(folder) / "store") | of_the_model()


def main() -> None:
    """Say what rose and end with exit code 1, or say that nothing did."""
    parser = argparse.ArgumentParser(description="counts of work, held against those of the committed file")
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name} anew")
    parser.add_argument("--out", type=Path, help="the counts as a JSON file")
    asked = parser.parse_args()
    now: dict[str, dict[str, Any]] = {"with": made_with(), "counts": counts()}
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    for place in [FILE] * asked.write + [asked.out] * bool(asked.out):
        place.write_text(json.dumps(now, indent=1) + "\n")
    if asked.write:
        return
    others = [f"{name} {version}" for name, version in kept["with"].items() if now["with"].get(name) != version]
    rose = rises(kept["counts"], now["counts"])
    print(*rose, f"{len(rose)} of {len(now['counts'])} counts rose", sep="\n")
    if others:
        print(f"they were counted with {', '.join(others)}; other versions may count otherwise")
    sys.exit(bool(rose))


if __name__ == "__main__":
    main()

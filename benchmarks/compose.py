"""Adapters on disk composed without the model: lingarith against PEFT's ``add_weighted_adapter``.

    python benchmarks/compose.py --rounds 7 --out compose.json

Rank-4 adapters of a 7-billion-parameter shape (32 layers; q, k, v, o of 4096 × 4096; random float32
numbers in PEFT's layout) are summed from files to a file. Each side has a process of its own; counted
are the seconds of its fastest turn after the imports, since the machine may have other work, and the
most memory that the process held, imports included.

PEFT must have the base as modules. Here they share one weight, so neither the time nor the memory of
loading 7 billion parameters counts. Its ``svd`` takes long for each module: one turn is timed, on
``--svd-projections`` of them, and scaled to all. After each turn of ours comes a plain copy of the
adapters' bytes: read, written, synced.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

SEED, RANK, SIDES = 7, 4, ("q", "k", "v", "o")
WEIGHTS = "adapter_model.safetensors"
CASES = {
    "factors": (("factors", None), "linear"),
    "anchored": (("anchored", None), "linear"),
    "peft-linear": (("peft-linear", None), "linear"),
    "delta": (("delta", None), "cat"),
    "delta, rank 4": (("delta", 4), "svd"),
    "delta, rank 16": (("delta", 16), "svd"),
}
"""Our space and its cut, and PEFT's name of what comes nearest."""


@dataclass(frozen=True)
class Task:
    """So many adapters of so many projections, four in a layer, in the folders ``0``, ``1``, … of ``place``."""

    place: str
    count: int
    projections: int
    width: int

    @property
    def folders(self) -> list[Path]:
        return [Path(self.place) / str(number) for number in range(self.count)]

    @property
    def weights(self) -> list[float]:
        """One task vector, and language vectors that are added and subtracted."""
        return [0.6] + [0.4 if number % 2 else -0.4 for number in range(1, self.count)]

    @property
    def paths(self) -> list[str]:
        return [f"layers.{number // 4}.{SIDES[number % 4]}_proj" for number in range(self.projections)]


def make(task: Task) -> None:
    """Adapters with one start, from which each has gone a little way."""
    import torch
    from safetensors.torch import save_file

    from lingarith.adapters.lora import Lora
    from lingarith.vectors.outline import FlatTensors
    from lingarith.vectors.vector import content_hash

    start = Lora(RANK).init(dict.fromkeys(task.paths, (task.width, task.width)), SEED)
    begun = content_hash(FlatTensors({path: (term,) for path, term in start.items()}))
    origin = {"init_seed": SEED, "init_hash": begun}
    targets = [f"{side}_proj" for side in SIDES]
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": targets, "task_type": None}
    for number, folder in enumerate(task.folders):
        torch.manual_seed(number)
        tensors = {}
        for path, (a, b) in start.items():
            tensors[f"base_model.model.{path}.lora_A.weight"] = a + 0.01 * torch.randn_like(a)
            tensors[f"base_model.model.{path}.lora_B.weight"] = 0.01 * torch.randn_like(b)
        folder.mkdir(parents=True)
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "start.json").write_text(json.dumps(origin))


def ours(task: Task, case: str, out: Path) -> Callable[[], None]:
    """A turn of lingarith."""
    from lingarith.algebra import Combination
    from lingarith.formats.peft import open_peft, write_peft
    from lingarith.vectors.composition import Composition, Space

    def turn() -> None:
        vectors = {}
        for name, folder in zip("abcdefghijklmnopqrstuvwxyz", task.folders, strict=False):
            vector = open_peft(folder, name)
            vectors[name] = replace(vector, origin=json.loads((folder / "start.json").read_text()))
        combination = Combination(tuple(zip(vectors, task.weights, strict=True)))
        composition = Composition(combination, vectors, Space(*CASES[case][0]))
        write_peft(composition, out, base_model="base", task_type="CAUSAL_LM")

    return turn


def theirs(task: Task, case: str, out: Path) -> Callable[[], None]:
    """A turn of PEFT."""
    import torch
    from peft import PeftModel

    (_, rank), kind = CASES[case]
    shared = torch.nn.Parameter(torch.zeros(task.width, task.width, dtype=torch.bfloat16), requires_grad=False)
    base = torch.nn.Module()
    base.layers = torch.nn.ModuleList(torch.nn.Module() for _ in range(-(-task.projections // len(SIDES))))
    for path in task.paths:
        linear = torch.nn.Linear(task.width, task.width, bias=False, device="meta")
        linear.weight = shared
        layer, _, name = path.rpartition(".")
        setattr(base.get_submodule(layer), name, linear)

    def turn() -> None:
        names = [folder.name for folder in task.folders]
        model = PeftModel.from_pretrained(base, task.folders[0], adapter_name=names[0])
        for folder in task.folders[1:]:
            model.load_adapter(folder, adapter_name=folder.name)
        cut = {"svd_rank": rank} if kind == "svd" else {}
        model.add_weighted_adapter(names, task.weights, "mixed", combination_type=kind, **cut)
        model.save_pretrained(str(out), selected_adapters=["mixed"], save_embedding_layers=False)

    return turn


def copy(task: Task, out: Path) -> None:
    """The bytes of all adapters, read and written again."""
    out.mkdir()
    with open(out / "copy", "wb") as target:
        for folder in task.folders:
            with open(folder / WEIGHTS, "rb") as source:
                shutil.copyfileobj(source, target, 2**20)
        target.flush()
        os.fsync(target.fileno())


def turns(task: Task, who: str, case: str, rounds: int) -> dict[str, float]:
    """What the process of one side does: the fastest turns in seconds, and the memory of the first in MB."""
    times: dict[str, list[float]] = {"seconds": [], "copy": []}
    memory = 0.0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=task.place) as folder:
            turn = {"lingarith": ours, "peft": theirs}[who](task, case, Path(folder) / "made")
            clocked: dict[str, Callable[[], None]] = {"seconds": turn}
            if who == "lingarith":
                clocked["copy"] = lambda folder=folder: copy(task, Path(folder) / "copied")  # type: ignore[misc]
            for what, run in clocked.items():
                before = time.perf_counter()
                run()
                times[what].append(time.perf_counter() - before)
                memory = memory or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {what: min(found) for what, found in times.items() if found} | {"mb": memory}


def alone(task: Task, *what: object) -> dict[str, float]:
    """A function of this file in a process of its own."""
    words = [sys.executable, __file__, "--alone", json.dumps([asdict(task), *what])]
    quiet = {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | quiet)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1]) if what else {}
    return found


def compared(task: Task, svd_projections: int, rounds: int) -> dict[str, Any]:
    """Seconds and MB of both sides in each case."""
    few = replace(task, place=f"{task.place}/few", projections=svd_projections)
    for one in (task, few):
        alone(one)
    results: dict[str, Any] = {}
    decomposed: dict[str, float] = {}
    for case, (_, kind) in CASES.items():
        us = alone(task, "lingarith", case, rounds)
        if kind != "svd":
            them = alone(task, "peft", case, rounds)
        elif not decomposed:  # the rank changes nothing
            decomposed = alone(few, "peft", case, 1)
            decomposed["seconds"] *= task.projections / svd_projections
        results[case] = {"lingarith": us, "peft_kind": kind, "peft": decomposed if kind == "svd" else them}
    return results


def main() -> None:
    """Print a small table; write the same facts as JSON."""
    if sys.argv[1:2] == ["--alone"]:
        facts, *what = json.loads(sys.argv[2])
        if what:
            print(json.dumps(turns(Task(**facts), *what)))
        else:
            make(Task(**facts))
        return
    parser = argparse.ArgumentParser(description="composing adapters on disk: lingarith against PEFT")
    parser.add_argument("--adapters", type=int, nargs="+", default=[3, 11])
    parser.add_argument("--projections", type=int, default=128, help="four in a layer")
    parser.add_argument("--svd-projections", type=int, default=1, help="PEFT's svd is timed on these and scaled")
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=7, help="turns that each side takes")
    parser.add_argument("--out", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    results = {}
    print(f"{'':<18} {'lingarith':>16} {'PEFT':>26} {'copy':>8} {'PEFT / ours':>13} {'ours / copy':>12}")
    for count in arguments.adapters:
        with tempfile.TemporaryDirectory(prefix="compose-") as place:
            task = Task(f"{place}/all", count, arguments.projections, arguments.width)
            results[count] = compared(task, arguments.svd_projections, arguments.rounds)
        for case, found in results[count].items():
            us, them, scaled = found["lingarith"], found["peft"], "*" if found["peft_kind"] == "svd" else " "
            print(
                f"{count:>2} {case:<15} {us['seconds']:>6.2f} s {us['mb']:>4.0f} MB {found['peft_kind']:>8}"
                f" {them['seconds']:>7.2f}{scaled}s {them['mb']:>4.0f} MB {us['copy']:>6.2f} s"
                f" {them['seconds'] / us['seconds']:>13.1f} {us['seconds'] / us['copy']:>12.2f}",
                flush=True,
            )
    part = f"{arguments.svd_projections} of {arguments.projections} projections"
    print(f"* timed on {part} and scaled; the memory is that of these")
    if arguments.out:
        from importlib.metadata import version

        facts = {**vars(arguments), "out": str(arguments.out), "cpus": os.cpu_count(), "peft": version("peft")}
        arguments.out.write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Our adapters against PEFT's LoRA and LoKr: time and peak memory of forward and backward, and their ratio.

    python benchmarks/adapters.py --rounds 9 --out adapters.json

One adapter (LoRA of rank 4; Kronecker of m = n = 32, since LoKr takes no other than m = n) on a square
projection, for 4 sequences of 128 tokens, in float32, with the same factors; gradients of both factors
and of the input. Once the adapter alone, which is the claim, and once with the frozen projection that it
sits on. The two take turns, since the machine may have other work, and the ratio is the median over the turns.
Memory is what the allocator holds at most beyond what there was before, as torch's profiler counts it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ["KINETO_LOG_LEVEL"] = "99"  # the profiler says on every start that it starts

import peft
import torch
from peft import LoKrConfig, LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.profiler import profile

import lingarith
from lingarith.adapters import kronecker, lora

LORA, KRONECKER = KINDS = ("LoRA", "Kronecker")
RANK, FACTOR, TOKENS = 4, 32, (4, 128)
Pass = Callable[[], list[Tensor]]
"""Forward and backward: the output, and the gradients of both factors and of the input."""

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""Seconds elapsed, or seconds of all processors, which other work on the machine disturbs less."""


def passes(kind: str, size: int, alone: bool) -> tuple[Pass, Pass]:
    """The same work for us and for PEFT, on a projection of that size."""
    torch.manual_seed(0)
    base = nn.Linear(size, size, bias=False).requires_grad_(False)
    apply, layer, added, (w1, w2) = (of_lora if kind == LORA else of_lokr)(base)
    a, b = (w.detach()[None].clone().requires_grad_() for w in (w1, w2))
    x = torch.randn(*TOKENS, size, requires_grad=True)
    dy = torch.randn(*TOKENS, size)

    def ours() -> list[Tensor]:
        y = apply(a, b, 1.0, x)
        if not alone:
            y = base(x) + y
        return [y, *torch.autograd.grad(y, (a, b, x), dy)]

    def theirs() -> list[Tensor]:
        y = added(x) if alone else layer(x)
        return [y, *torch.autograd.grad(y, (w1, w2, x), dy)]

    return ours, theirs


Sides = tuple[Callable[..., Tensor], Any, Callable[[Tensor], Tensor], tuple[Tensor, Tensor]]
"""Our function; PEFT's layer, what its adapter alone adds, and its factors."""


def of_lora(base: nn.Linear) -> Sides:
    """LoRA."""
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["0"], init_lora_weights=False)
    wrapped: Any = get_peft_model(nn.Sequential(base), config)
    layer = wrapped.base_model.model[0]
    down, up = layer.lora_A["default"], layer.lora_B["default"]
    return lora.apply, layer, lambda x: up(down(x)), (down.weight, up.weight)


def of_lokr(base: nn.Linear) -> Sides:
    """Kronecker products, LoKr in PEFT's words."""
    config = LoKrConfig(r=10_000, alpha=10_000, decompose_factor=FACTOR, target_modules=["0"], init_weights=False)
    wrapped: Any = get_peft_model(nn.Sequential(base), config)
    layer = wrapped.base_model.model[0]

    def added(x: Tensor) -> Tensor:
        return nn.functional.linear(x, layer.get_delta_weight("default"))

    return kronecker.apply, layer, added, (layer.lokr_w1["default"], layer.lokr_w2["default"])


def compared(kind: str, size: int, alone: bool, rounds: int, now: Clock) -> dict[str, Any]:
    """Medians over the rounds; in every other round PEFT comes first."""
    turns = passes(kind, size, alone)
    for mine, right in zip(*(turn() for turn in turns), strict=True):
        torch.testing.assert_close(mine.reshape(right.shape), right, rtol=1e-3, atol=1e-3)
    measured = []
    for number in range(rounds):
        took = {which: seconds(turns[which], now) for which in ((0, 1) if number % 2 else (1, 0))}
        measured.append((took[0], took[1]))
    memory = [peak(turn) for turn in turns]
    return {
        "milliseconds": [round(1000 * median(times), 2) for times in zip(*measured, strict=True)],
        "faster": round(median(b / a for a, b in measured), 2),
        "ratios": [round(b / a, 2) for a, b in measured],
        "megabytes": [round(held / 1e6, 2) for held in memory],
        "memory": round(memory[0] / memory[1], 3),
    }


def seconds(turn: Pass, now: Clock) -> float:
    """How long a pass takes."""
    began = now()
    turn()
    return now() - began


def peak(turn: Pass) -> int:
    """The most bytes that a pass holds at a time beyond those that were there before."""
    with profile(profile_memory=True) as watched:
        turn()
    events = [e for e in watched.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def main() -> None:
    """Print a small table; write the same facts, and what they were measured with, as JSON."""
    parser = argparse.ArgumentParser(description="adapters: lingarith against PEFT's LoRA and LoKr")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rounds", type=int, default=5, help="turns that each of the two takes")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 4096])
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--out", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT asks transformers by an old name
    results = {
        f"{kind} {size}, {what}": compared(kind, size, what == "adapter", arguments.rounds, CLOCKS[arguments.clock])
        for kind in arguments.kinds
        for size in arguments.sizes
        for what in ("adapter", "projection")
    }
    print(f"{'':<28} {'lingarith':>10} {'PEFT':>8}   ms  faster {'lingarith':>10} {'PEFT':>8}   MB  share")
    for name, r in results.items():
        (ours, theirs), (held, their_held) = r["milliseconds"], r["megabytes"]
        print(f"{name:<28} {ours:>10} {theirs:>8} {r['faster']:>10}× {held:>10} {their_held:>8} {r['memory']:>10.0%}")
    if arguments.out:
        facts = {
            "versions": {used.__name__: str(used.__version__) for used in (lingarith, torch, peft)},
            "threads": torch.get_num_threads(),
            "clock": arguments.clock,
        }
        arguments.out.write_text(json.dumps(facts | {"rounds": arguments.rounds, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

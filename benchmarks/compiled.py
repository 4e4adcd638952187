"""A training step with torch.compile and without: seconds of each, and of the compilation.

    python benchmarks/compiled.py --only newsroom --out compiled.json

The cases of train_step.py: forward and backward of rank-4 LoRA, on several batches of different lengths
(compiled with dynamic shapes). The adapter stays on while the compiled side is timed, since hooks that
come and go would be compiled again. Steps until the compilation pays are its seconds over what a step gains.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from train_step import Case, llama, newsroom
from transformers.utils import logging

from lingarith.model.batches import Batch, Stream, collate
from lingarith.model.losses import token_losses
from lingarith.model.members import Member, Stack, Training, versions

BATCHES = 4


def measured(case: Case, rounds: int) -> dict[str, Any]:
    """Median seconds of a step, over the rounds."""
    on, _, data, options = case
    stream = Stream(data, options.seed, options.batch_size)
    batches = [collate(on, stream.at(step)) for step in range(BATCHES)]
    with tempfile.TemporaryDirectory() as folder:
        part = Stack([Member(on, Training("x", data, options, Path(folder)))]).part([0])

    def step(batch: Batch) -> float:
        began = time.perf_counter()
        losses, total = token_losses(on, batch)
        part.differentiate(total / len(losses))
        return time.perf_counter() - began

    def steps() -> list[float]:
        return [step(batch) for _ in range(rounds) for batch in batches]

    with part.on(on):
        steps()
        plain = median(steps())
        on.model.forward = torch.compile(on.model.forward, dynamic=True)
        began = time.perf_counter()
        for batch in batches * 2:  # the second time all shapes are known
            step(batch)
        compilation = time.perf_counter() - began
        compiled = median(steps())
    return {
        "plain": plain,
        "compiled": compiled,
        "ratio": plain / compiled,
        "compilation": compilation,
        "pays_after": compilation / (plain - compiled) if compiled < plain else None,
    }


def main() -> None:
    """Print a line for each backbone; write the same facts as JSON."""
    parser = argparse.ArgumentParser(description="a training step with torch.compile and without")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["newsroom", "llama"])
    parser.add_argument("--out", type=Path, help="a JSON file")
    asked = parser.parse_args()
    logging.disable_progress_bar()
    results = {}
    for name, made in {"newsroom": newsroom, "llama": llama}.items():
        if asked.only in (None, name):
            one = results[name] = measured(made(), asked.rounds)
            pays = f"pays after {one['pays_after']:,.0f} steps" if one["pays_after"] else "never pays"
            print(
                f"{name}: {one['plain']:.3f} s a step, compiled {one['compiled']:.3f} s, ratio {one['ratio']:.2f}; "
                f"compiling took {one['compilation']:.0f} s, {pays}",
                flush=True,
            )
    if asked.out:
        facts = {"versions": versions(), "threads": torch.get_num_threads(), "rounds": asked.rounds}
        asked.out.write_text(json.dumps(facts | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

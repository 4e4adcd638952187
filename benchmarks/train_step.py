"""Our training step against PEFT with the same loop: tokens per second, and their ratio.

    python benchmarks/train_step.py --rounds 9 --out train_step.json

The same examples, loss, clipping and AdamW on the same frozen model; what differs is how LoRA of
rank 4 sits on the projections. The two take turns, since the machine may have other work, and the
ratio is the median over the turns.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing here comes from the hub

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from lingarith.model.backbone import Backbone
from lingarith.model.batches import Stream, TaskItems, TrainingData, collate, task_items
from lingarith.model.loading import load, wrap
from lingarith.model.losses import token_losses
from lingarith.model.members import Training, versions
from lingarith.model.options import TrainOptions
from lingarith.model.train import train
from lingarith.text.tasks import TASKS, examples

Case = tuple[Backbone, Backbone, TrainingData, TrainOptions]
"""The model for us, the same for PEFT, the data, and how it is trained."""

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""Seconds elapsed, or seconds of all processors, which other work on the machine disturbs less."""


def newsroom() -> Case:
    """The embedded backbone on its English headlines, 16 in a batch."""
    ours, theirs = load(device="cpu"), load(device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        articles = examples(TASKS["summaries"], "newsroom", "en", "train", limit=512, folder=Path(folder))
    return ours, theirs, task_items(ours, articles, max_input=512, max_target=128), TrainOptions(steps=8, batch_size=16)


def llama() -> Case:
    """100 million random parameters, sequences of 128, 4 in a batch."""
    words = load(device="cpu").tokenizer
    config = LlamaConfig(
        vocab_size=12_000,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    ours, theirs = LlamaForCausalLM(config), LlamaForCausalLM(config)
    theirs.load_state_dict(ours.state_dict())
    rows = torch.randint(2, 10_000, (64, 128)).tolist()
    data = TaskItems([(row[:64], row[64:]) for row in rows])
    return wrap(ours, words, name="llama"), wrap(theirs, words, name="llama"), data, TrainOptions(steps=3, batch_size=4)


def our_turn(on: Backbone, data: TrainingData, options: TrainOptions, now: Clock) -> float:
    """Tokens per second of :func:`train`, from the end of its first step to the end of its last but one."""
    at: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        # The last step writes the checkpoint.
        one = Training("x", data, replace(options, steps=options.steps + 1), Path(folder))
        for _ in train(on, [one], watch=lambda *_: at.append(now())):
            pass
    return tokens(on, data, options) / (at[options.steps - 1] - at[0])


def their_turn(on: Backbone, data: TrainingData, options: TrainOptions, now: Clock) -> float:
    """The same of a loop around a PEFT model."""
    at: list[float] = []
    parameters = [p for p in on.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, weight_decay=options.weight_decay, fused=True)
    stream = Stream(data, options.seed, options.batch_size)
    for step in range(options.steps):
        batch = collate(on, stream.at(step))
        with torch.autocast(on.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"):
            losses, total = token_losses(on, batch)
        loss = total / len(losses)
        loss.backward()
        loss.item()
        torch.nn.utils.clip_grad_norm_(parameters, options.clip)
        optimizer.param_groups[0]["lr"] = options.rate(step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        at.append(now())
    return tokens(on, data, options) / (at[-1] - at[0])


def tokens(on: Backbone, data: TrainingData, options: TrainOptions) -> int:
    """How many tokens the timed steps hold."""
    steps, stream = range(1, options.steps), Stream(data, options.seed, options.batch_size)
    return sum(collate(on, stream.at(step)).tokens for step in steps)


def compared(case: Case, precision: str, rounds: int, now: Clock) -> dict[str, Any]:
    """Medians over the rounds; in every other round PEFT comes first."""
    ours, plain, data, options = case
    options = replace(options, precision=precision)
    lora = LoraConfig(r=4, lora_alpha=4, target_modules=list(plain.projections))
    theirs = replace(plain, loading=get_peft_model(plain.model, lora).eval)
    turns: tuple[Callable[[], float], ...] = (
        lambda: our_turn(ours, data, options, now),
        lambda: their_turn(theirs, data, options, now),
    )
    measured = []
    for number in range(rounds):
        order = (0, 1) if number % 2 else (1, 0)
        speeds = {which: turns[which]() for which in order}
        measured.append((speeds[0], speeds[1]))
    return {
        "parameters": ours.facts["parameters"],
        "lingarith": round(median(a for a, _ in measured)),
        "peft": round(median(b for _, b in measured)),
        "ratio": round(median(a / b for a, b in measured), 3),
        "ratios": [round(a / b, 3) for a, b in measured],
    }


def main() -> None:
    """Print a small table; write the same facts, and what they were measured with, as JSON."""
    parser = argparse.ArgumentParser(description="training step: lingarith against PEFT, tokens per second")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each of the two takes")
    parser.add_argument("--only", choices=["newsroom", "llama"])
    parser.add_argument(
        "--precision", choices=["float32", "bfloat16"], default="float32", help="autocast, on both sides"
    )
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--out", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT asks transformers by an old name
    cases = {"newsroom": newsroom, "llama": llama}
    results = {
        name: compared(made(), arguments.precision, arguments.rounds, CLOCKS[arguments.clock])
        for name, made in cases.items()
        if arguments.only in (None, name)
    }
    print(f"{'backbone':<10} {'parameters':>12} {'lingarith':>10} {'PEFT':>8}   tokens/s    ratio")
    for name, r in results.items():
        print(f"{name:<10} {r['parameters']:>12,} {r['lingarith']:>10,} {r['peft']:>8,} {r['ratio']:>19}")
    if arguments.out:
        from peft import __version__ as peft_version

        facts = {
            "versions": versions() | {"peft": peft_version},
            "threads": torch.get_num_threads(),
            "clock": arguments.clock,
            "precision": arguments.precision,
        }
        arguments.out.write_text(json.dumps(facts | {"rounds": arguments.rounds, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""A training step on the shapes of real models, whose vocabularies are large: ours against PEFT with the Trainer.

    python benchmarks/real_step.py --only gemma --rounds 5 --out real_step.json
    python benchmarks/real_step.py --profile --only gemma

Random weights and tokens in the shape of Gemma 3 270M, mT5-small and Qwen3-0.6B (no dropout), LoRA of rank 4 on
the attention projections, rows of 250 tokens read and 15 taught, on the same batches. Each turn is a
process of its own, and both sides take turns; the ratio is the median over the turns. Ours runs as the command
does, which keeps freed memory; the peer as a script does. ``--profile`` says instead where the time of one of our
steps goes, by operation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import torch
from together import CLOCKS, by_trainer, in_passes, keep
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    MT5Config,
    MT5ForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.utils import logging

from lingarith.adapters.lora import Lora
from lingarith.model.backbone import Backbone
from lingarith.model.batches import TaskItems
from lingarith.model.loading import load, wrap
from lingarith.model.members import Training
from lingarith.model.memory import keep_memory, peak, reset_peak, used
from lingarith.model.options import TrainOptions

CASES = ("gemma", "mt5", "qwen")
READ, TAUGHT = 250, 15
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
PARTS = {
    "attention": ("scaled_dot_product",),
    "softmax over the vocabulary": ("softmax", "nll_loss", "logsumexp"),
    "products": PRODUCTS,
}
"""Operations whose names hold one of these words are counted there; all others by their own names."""


def backbone(case: str, about: argparse.Namespace) -> Backbone:
    """A model in the shape of a real one."""
    model: Any
    layers: int | None = about.layers
    torch.manual_seed(0)
    if case == "gemma":
        model = Gemma3ForCausalLM(
            Gemma3TextConfig(
                vocab_size=262_144, hidden_size=640, intermediate_size=2048, num_hidden_layers=layers or 18,
                num_attention_heads=4, num_key_value_heads=1, head_dim=256, query_pre_attn_scalar=256,
                sliding_window=512, max_position_embeddings=32_768,
            )
        )  # fmt: skip
    elif case == "mt5":
        model = MT5ForConditionalGeneration(
            MT5Config(
                vocab_size=250_112, d_model=512, d_kv=64, d_ff=1024, num_layers=layers or 8, num_heads=6,
                feed_forward_proj="gated-gelu", tie_word_embeddings=False, dropout_rate=0.0,
                decoder_start_token_id=0,
            )
        )  # fmt: skip
    else:
        model = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=151_936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=layers or 28,
                num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
            )
        )  # fmt: skip
    model = model.to(about.device, getattr(torch, about.dtype))
    return wrap(model, load(device="cpu").tokenizer, name=case)


def training(rows: int, steps: int, folder: Path) -> Training:
    """A vector in training on random tokens."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(2, 10_000, (4 * rows, READ + TAUGHT), generator=generator).tolist()
    items = TaskItems([(row[:READ], row[READ:]) for row in drawn])
    options = TrainOptions(steps=steps + 1, batch_size=rows, adapter=Lora(4), checkpoint_every=10**9)
    return Training("x", items, options, folder)


def measured(case: str, way: str, about: argparse.Namespace) -> dict[str, Any]:
    """One turn, in this process."""
    if way == "lingarith":
        keep_memory()
    on, now = backbone(case, about), CLOCKS[about.clock]
    for parameter in on.model.parameters():
        parameter.sum()  # so that all of it is in memory
    timed = range(1, 1 + about.steps)
    with tempfile.TemporaryDirectory() as folder:
        one = [training(about.rows, timed.stop, Path(folder))]
        base = used(on.device)
        reset_peak(on.device)
        seconds = by_trainer(on, one, timed, now) if way == "trainer" else in_passes(on, one, 1, timed, now)
    return {
        "tokens_per_second": round(about.steps * about.rows * (READ + TAUGHT) / seconds, 1),
        "seconds_per_step": round(seconds / about.steps, 3),
        "peak_bytes": peak(on.device) - base,
        "parameters": on.facts["parameters"],
    }


def profiled(case: str, about: argparse.Namespace) -> dict[str, float]:
    """Share of a step's time that goes into each kind of operation, the largest first."""
    keep_memory()
    on = backbone(case, about)
    with tempfile.TemporaryDirectory() as folder:
        one = [training(about.rows, 1 + about.steps, Path(folder))]
        in_passes(on, one, 1, range(1), time.perf_counter)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            in_passes(on, one, 1, range(about.steps), time.perf_counter)
    shares: Counter[str] = Counter()
    for event in seen.key_averages():
        name = event.key.removeprefix("aten::")
        part = next((part for part, words in PARTS.items() if _of(name, words)), name)
        shares[part] += event.self_cpu_time_total
    total = sum(shares.values())
    return {part: round(spent / total, 4) for part, spent in shares.most_common(about.lines)}


def _of(name: str, words: tuple[str, ...]) -> bool:
    return name in words if words is PRODUCTS else any(word in name for word in words)


def compared(case: str, about: argparse.Namespace) -> dict[str, Any]:
    """Medians over the rounds; in every other round the peer comes first."""
    ways = ["lingarith", "trainer"]
    found: dict[str, list[Any]] = {way: [] for way in ways}
    for number in range(about.rounds):
        for way in ways if number % 2 else reversed(ways):
            command = [sys.executable, __file__, *sys.argv[1:], "--measure", case, way]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{case} {way}, turn {number + 1}: {found[way][-1]}", flush=True)
    middle = {way: {name: median(one[name] for one in some) for name in some[0]} for way, some in found.items()}
    pairs = list(zip(found["lingarith"], found["trainer"], strict=True))
    ratios = [round(ours["tokens_per_second"] / theirs["tokens_per_second"], 3) for ours, theirs in pairs]
    memory = median(ours["peak_bytes"] / theirs["peak_bytes"] for ours, theirs in pairs)
    return {"case": case, **middle, "ratio": median(ratios), "ratios": ratios, "memory": round(memory, 3)}


def main() -> None:
    """Print a line for each shape; write the same facts, and what they were measured with, as JSON."""
    parser = argparse.ArgumentParser(description="a training step on real shapes, against PEFT and the Trainer")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--layers", type=int, help="fewer than the model has")
    parser.add_argument("--steps", type=int, default=2, help="timed in each turn, after a first one")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="of the backbone")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--lines", type=int, default=16, help="of a profile")
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    about = parser.parse_args()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT asks transformers by an old name
    if about.measure:
        case, way = about.measure
        print(json.dumps(measured(case, way, about)))
        return
    results = []
    for case in about.only:
        if about.profile:
            results.append({"case": case, "shares": profiled(case, about)})
            print(case, *(f"  {share:6.1%}  {part}" for part, share in results[-1]["shares"].items()), sep="\n")
            continue
        results.append(one := compared(case, about))
        for way in ("lingarith", "trainer"):
            print(
                f"{case:<6} {way:<9} {one[way]['tokens_per_second']:>8,.0f} tokens/s "
                f"{one[way]['seconds_per_step']:>7.2f} s a step {one[way]['peak_bytes'] / 1e6:>8,.0f} MB"
            )
        print(
            f"{case:<6} {one['ratio']:.2f} times as fast ({one['ratios']}), {one['memory']:.2f} of the memory",
            flush=True,
        )
    keep(about, results)


if __name__ == "__main__":
    main()

"""Steps and seconds until a validation loss: ours, and ours with LoRA+, against PEFT under transformers' Trainer.

    python benchmarks/time_to_loss.py --languages pt uk sw vi yo --seeds 0 1 2 --out time_to_loss.jsonl
    python benchmarks/time_to_loss.py --backbone gemma-3-270m --labels 'summ/{language}/{split}.jsonl.gz' \
        --languages en --max-input 250 --ways 'peer 1e-3' 'ours, all steps, 1e-3' --out gemma.jsonl

Headline vectors of rank 4 on the newsroom's backbone, each from 128 articles of a language (64 tokens read), or on a
backbone and labels that are named. The peer makes the three epochs of eight rows that are the Trainer's defaults, at
the learning rate that is named: 5e-5 is its default, 3e-3 the newsroom's. Ours makes a part of its steps at the
newsroom's rate or another, and with a faster B (LoRA+, https://arxiv.org/abs/2402.12354), which is not part of the
package. Every run plans its own end: the rate goes down to 0. Then comes the mean loss of a token on validation
articles. Counted are seconds of the processor of training alone; the ways take turns, and the order turns round for
every other seed. What --out holds is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments, set_seed
from transformers.utils import logging

from lingarith.adapters.lora import Lora
from lingarith.algebra import parse
from lingarith.model.backbone import Backbone
from lingarith.model.batches import TaskItems, task_items
from lingarith.model.loading import load
from lingarith.model.members import Member, Training
from lingarith.model.options import TrainOptions
from lingarith.model.train import mean_loss, train
from lingarith.newsroom import NEWSROOM
from lingarith.text.prefix_lm import decoder_only
from lingarith.text.tasks import TASKS, examples
from lingarith.vectors.composition import realise

ROWS, BATCH, STEPS = 128, 8, 48
USUAL = 3e-3
WAYS: dict[str, dict[str, float]] = {
    "peer 5e-5": {"rate": 5e-5},
    "peer 3e-3": {"rate": USUAL},
    "peer 1e-2": {"rate": 1e-2},
    "peer 1e-3": {"rate": 1e-3},
    "ours 1/2": {"steps": 24, "b": 1},
    "ours 1/2, B × 16": {"steps": 24, "b": 16},
    "ours 5/8, B × 16": {"steps": 30, "b": 16},
    "ours 5/8, 1e-2": {"steps": 30, "b": 1, "rate": 1e-2},
    "ours 5/8, 6e-3, B × 8": {"steps": 30, "b": 8, "rate": 6e-3},
    "ours, all steps, 1e-3": {"steps": STEPS, "b": 1, "rate": 1e-3},
}


def data(on: Backbone, asked: argparse.Namespace, language: str, split: str, limit: int, folder: Path) -> TaskItems:
    """Articles and headlines."""
    task = TASKS["summaries"]
    task = task if on.encoder_decoder else task.for_decoders()
    some = examples(task, asked.labels, language, split, limit=limit, folder=folder)
    return task_items(on, some, max_input=asked.max_input, max_target=48)


@contextmanager
def faster(times: float) -> Iterator[None]:
    """While open, B learns so many times as fast as A: AdamW's step is proportional to its rate."""
    usual = Member.update

    def update(self: Member, loss: float, norm: torch.Tensor) -> bool:
        before = {device: flat.detach().clone() for device, flat in self.flat.items()}
        went = usual(self, loss, norm)
        factors = self.factors().items()
        paces = self.layout.flat({key: torch.full_like(f, times if key[-2:] == ".b" else 1) for key, f in factors})
        for device, flat in self.flat.items():
            flat.data.copy_(before[device].lerp(flat.data, paces[device]))
        return went

    with ExitStack() as stack:
        if times != 1:
            Member.update = update  # type: ignore[method-assign]
            stack.callback(setattr, Member, "update", usual)
        yield


def ours(
    on: Backbone, rows: TaskItems, judged: TaskItems, seed: int, steps: int, b: float, rate: float = USUAL
) -> tuple[float, float]:
    """Seconds of a training, and the loss after it."""
    options = TrainOptions(
        steps=steps, batch_size=BATCH, learning_rate=rate, adapter=Lora(4), seed=seed, init_seed=seed
    )
    with tempfile.TemporaryDirectory() as folder, faster(b):
        began = time.process_time()
        [(_, vector)] = train(on, [Training("x", rows, options, Path(folder))])
        seconds = time.process_time() - began
    with on.using(realise(parse("x"), {"x": vector}, "delta")):
        return seconds, mean_loss(on, judged, options)


def peer(on: Backbone, rows: TaskItems, judged: TaskItems, seed: int, rate: float) -> tuple[float, float]:
    """The same of PEFT under the Trainer; all that is not named is as these have it."""
    set_seed(seed)
    model: Any = get_peft_model(on.model, LoraConfig(r=4, lora_alpha=4, target_modules=list(on.projections)))
    pairs = rows.items if on.encoder_decoder else [decoder_only(ids, target) for ids, target in rows.items]
    items = [{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": target} for ids, target in pairs]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, learning_rate=rate, seed=seed, save_strategy="no", report_to=[], dataloader_pin_memory=False,
            remove_unused_columns=False, disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(model, arguments, train_dataset=items, data_collator=DataCollatorForSeq2Seq(on.tokenizer))
        began = time.process_time()
        trainer.train()
        seconds = time.process_time() - began
    assert trainer.state.global_step == STEPS
    loss = mean_loss(replace(on, loading=model.eval), judged, TrainOptions(batch_size=BATCH))
    model.unload()
    return seconds, loss


def measured(asked: argparse.Namespace, done: set[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """A row for each run that is not done."""
    on = load(asked.backbone, device="cpu")
    for seed in asked.seeds:
        for language in asked.languages:
            names = [name for name in asked.ways if (language, seed, name) not in done]
            if not names:
                continue
            with tempfile.TemporaryDirectory() as folder:
                rows, judged = (
                    data(on, asked, language, split, limit, Path(folder))
                    for split, limit in (("train", ROWS), ("validation", 48))
                )
            for name in names if seed % 2 else reversed(names):
                way: Callable[..., tuple[float, float]] = peer if name.startswith("peer") else ours
                seconds, loss = way(on, rows, judged, seed, **WAYS[name])
                yield {"language": language, "seed": seed, "way": name, "seconds": seconds, "loss": loss}


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each way, and of ours one for each peer: how often the loss is reached, in which share of the time."""
    by = {(row["way"], row["language"], row["seed"]): row for row in rows}
    ways = [name for name in WAYS if any(row["way"] == name for row in rows)]
    lines = []
    for name in ways:
        some = [row for row in rows if row["way"] == name]
        seconds, losses = ([row[key] for row in some] for key in ("seconds", "loss"))
        lines.append(f"{name:<18} {len(some):>3} runs  {median(seconds):>6.1f} s  mean loss {mean(losses):.3f}")
        for other in (other for other in ways if other.startswith("peer") and not name.startswith("peer")):
            pairs = [(row, by[other, row["language"], row["seed"]]) for row in some
                     if (other, row["language"], row["seed"]) in by]  # fmt: skip
            reached = sum(row["loss"] <= one["loss"] for row, one in pairs)
            shares = sorted(round(row["seconds"] / one["seconds"], 2) for row, one in pairs)
            if pairs:
                lines.append(
                    f"    {other}: reached in {reached} of {len(pairs)}, in {median(shares):.2f} of its time "
                    f"({shares[0]} to {shares[-1]})"
                )
    return lines


def main() -> None:
    """Write a line for each run; print what they say together."""
    parser = argparse.ArgumentParser(description="steps and seconds until a validation loss")
    parser.add_argument("--backbone", default=NEWSROOM, help="a folder, a name on the hub, or a short name")
    parser.add_argument("--labels", default=NEWSROOM, help="where summaries come from, as everywhere")
    parser.add_argument("--max-input", type=int, default=64, help="tokens of an article")
    parser.add_argument("--languages", nargs="+", default=["pt", "uk", "sw", "vi", "yo"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path, default=Path("time_to_loss.jsonl"), help="a line for each run")
    asked = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT asks transformers by an old name
    torch.set_num_threads(1)
    found = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    for row in measured(asked, {(row["language"], row["seed"], row["way"]) for row in found}):
        found.append(row)
        with asked.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
    print(*summary(found), sep="\n")


if __name__ == "__main__":
    main()

"""K language vectors in one pass against K separate runs, ours and of PEFT with transformers' Trainer.

    python benchmarks/together.py --only newsroom --together 1 4 12 --rounds 3 --out together.json

Each measurement is a process of its own, so that its peak of memory is its own; the ways take turns,
since the machine may have other work, and a ratio is the median over the turns. A first pass of each
vector warms up and is not counted (``--warm-up 0`` counts it: where a pass takes long, it differs little).
Tokens are those of the examples, padding left out. Utilisation is the floating-point
work of the vectors' own batches (counted by torch, without the padding that companions cause, and
without that inside torch's fused attention on a processor) per second, over that of a product of two
large matrices in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing here comes from the hub

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration
from transformers.utils import logging

from lingarith.adapters.lora import Lora
from lingarith.model.backbone import Backbone
from lingarith.model.batches import Batch, PrefixItems, Stream, TaskItems, TrainingData, alike, collate, positions
from lingarith.model.loading import load, wrap
from lingarith.model.members import Training, versions
from lingarith.model.memory import keep_memory, peak, reset_peak, used
from lingarith.model.options import TrainOptions
from lingarith.model.train import train
from lingarith.text.corpora import plain_text

LANGUAGES = ("en", "pt", "uk", "fa", "tr", "sw", "id", "fi", "so", "yo", "ru", "vi")
WIDTHS = {30: (448, 8, 1216), 120: (768, 12, 2048), 1000: (2048, 16, 8192)}
"""Millions of parameters (about): width, layers, width between."""
CASES = ("newsroom", "llama-30", "llama-120", "llama-1000", "t5-30", "t5-120")
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""Seconds elapsed, or seconds of all processors, which other work on the machine disturbs less."""


class Enough(Exception):
    """The passes that are timed are done."""


def backbone(case: str, device: str = "cpu", dtype: str = "float32") -> Backbone:
    """The embedded backbone, or one with random weights and a vocabulary of 12,000."""
    newsroom = load(device=device, dtype=dtype)
    if case == "newsroom":
        return newsroom
    family, size = case.split("-")
    width, layers, between = WIDTHS[int(size)]
    common: dict[str, Any] = {"vocab_size": 12_000, "pad_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(0)
    model: Any
    if family == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=width, intermediate_size=between, num_hidden_layers=layers, num_attention_heads=width // 64,
                bos_token_id=1, **common,
            )
        )  # fmt: skip
    else:
        model = T5ForConditionalGeneration(
            T5Config(
                d_model=width, d_ff=between, d_kv=64, num_layers=layers // 2, num_heads=width // 64, dropout_rate=0.0,
                feed_forward_proj="gated-gelu", **common | {"decoder_start_token_id": 0},
            )
        )  # fmt: skip
    return wrap(model.to(device, getattr(torch, dtype)), newsroom.tokenizer, name=case)


def data(on: Backbone, case: str, number: int, length: int, folder: Path) -> TrainingData:
    """Plain text of one language as the newsroom has it; random tokens, of lengths as they come, for the others."""
    if case == "newsroom":
        text = plain_text("newsroom", LANGUAGES[number], limit_characters=200_000, folder=folder)
        return PrefixItems(on, text, length=length)
    generator = torch.Generator().manual_seed(number)
    rows = []
    for _ in range(512):
        count = int(torch.randint(length // 4, length + 1, (), generator=generator))
        tokens = torch.randint(2, 12_000, (count,), generator=generator).tolist()
        rows.append((tokens[: count // 2], tokens[count // 2 :]))
    return TaskItems(rows)


def in_passes(on: Backbone, trainings: list[Training], together: int, timed: range, now: Clock) -> float:
    """Seconds of the ``timed`` steps of each vector, ``together`` at a time."""
    seconds = 0.0
    for start in range(0, len(trainings), together):
        group = trainings[start : start + together]
        moments = {0: now()}

        def watch(
            position: int, step: int, loss: float, moments: dict[int, float] = moments, last: int = len(group) - 1
        ) -> None:
            moments[step] = now()
            if position == last and step == timed.stop:
                raise Enough

        with suppress(Enough):
            for _ in train(on, group, together=together, watch=watch):
                pass
        seconds += moments[timed.stop] - moments[timed.start]
    return seconds


def by_trainer(on: Backbone, trainings: list[Training], timed: range, now: Clock) -> float:
    """The same work by PEFT and transformers' Trainer, one vector after the other, on the same batches."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Moments(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            moments.append(now())

    seconds = 0.0
    for training in trainings:
        options = training.options
        batches = [labelled(on, batch) for batch in own_batches(on, training, range(timed.stop))]
        lora = LoraConfig(r=4, lora_alpha=4, target_modules=list(on.projections))
        model: Any = get_peft_model(on.model, lora)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, max_steps=timed.stop, per_device_train_batch_size=1, learning_rate=options.learning_rate,
                warmup_steps=1, optim="adamw_torch_fused", weight_decay=0.0, max_grad_norm=options.clip,
                save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
                use_cpu=on.device.type == "cpu",
                dataloader_pin_memory=False, remove_unused_columns=False,
            )  # fmt: skip
            moments = [now()]
            Trainer(
                model, arguments, train_dataset=batches, data_collator=lambda some: some[0], callbacks=[Moments()]
            ).train()
        seconds += moments[timed.stop] - moments[timed.start]
        model.unload()
    return seconds


def own_batches(on: Backbone, training: Training, steps: range) -> list[Batch]:
    """The batches of a training at these steps."""
    stream = Stream(training.data, training.options.seed, training.options.batch_size)
    return [collate(on, stream.at(step)) for step in steps]


def labelled(on: Backbone, batch: Batch) -> dict[str, torch.Tensor]:
    """A batch as the Trainer takes it: the model shifts labels and finds the decoder's inputs by itself."""
    labels = batch.labels
    if not on.encoder_decoder:
        labels = torch.cat([torch.full_like(labels[:, :1], -100), labels[:, :-1]], dim=1)
    return {name: batch.inputs[name] for name in ("input_ids", "attention_mask")} | {"labels": labels}


def work(on: Backbone, batch: Batch) -> int:
    """Floating-point operations of forward and backward through the frozen backbone, without updates.

    They are counted on tensors without numbers, so nothing is computed.
    """
    counter, head = FlopCounterMode(display=False), on.model.get_output_embeddings()  # type: ignore[operator]
    with FakeTensorMode(allow_non_fake_inputs=True) as shapes:
        inputs = {name: shapes.from_tensor(tensor.to(on.device)) for name, tensor in batch.inputs.items()}
        taught = shapes.from_tensor(batch.taught.to(on.device))
        nothing = torch.zeros((), requires_grad=True, device=on.device)
        handle = head.register_forward_pre_hook(lambda _, hidden: (hidden[0].flatten(0, 1)[taught],))
        with on.adding(dict.fromkeys(on.projections, lambda _: nothing)), counter:
            on.model(**inputs, use_cache=False).logits.sum().backward()
        handle.remove()
    return int(counter.get_total_flops())


def peak_of_products(on: Backbone, now: Clock) -> float:
    """Operations a second of a product of two matrices in the backbone's type, the best of several."""
    like, size = next(on.model.parameters()), 1536 if on.device.type == "cpu" else 8192
    a, b = torch.randn(2, size, size, device=like.device, dtype=like.dtype)
    best = 0.0
    for _ in range(8):
        began = now()
        (a @ b)[0, 0].item()  # which waits for it
        best = max(best, 2 * size**3 / (now() - began))
    return best


def measured(case: str, way: str, together: int, about: argparse.Namespace) -> dict[str, Any]:
    """One way of training so many vectors, in this process."""
    keep_memory()
    now = CLOCKS[about.clock]
    on = backbone(case, about.device, about.dtype)
    base = used(on.device)
    timed = range(about.warm_up, about.warm_up + about.passes)
    options = TrainOptions(
        steps=timed.stop + 1, batch_size=about.rows, adapter=Lora(4), max_input=about.length, checkpoint_every=10**9
    )  # the last step, which writes the checkpoint, is not reached
    with tempfile.TemporaryDirectory() as folder:
        trainings = [
            Training(f"x{k}", data(on, case, k, about.length, Path(folder) / "text"), options, Path(folder) / str(k))
            for k in range(together)
        ]
        alone = [own_batches(on, training, timed) for training in trainings]
        tokens = sum(batch.tokens for batches in alone for batch in batches)
        joint = [[_items(training, step) for training in trainings] for step in timed]
        passes = [[own[k] for k in some] for own in joint for some in alike(on, own)]
        computed = sum(positions(on, [item for own in some for item in own]) for some in passes)
        product = peak_of_products(on, now)
        reset_peak(on.device)
        if way == "trainer":
            seconds = by_trainer(on, trainings, timed, now)
        else:
            seconds = in_passes(on, trainings, together if way == "together" else 1, timed, now)
        needed = peak(on.device) - base
        counted = sum(work(on, batch) for batches in alone for batch in batches) if way == "together" else 0
    padding = 1 - tokens / (computed if way == "together" else sum(b.size for batches in alone for b in batches))
    return {
        "tokens_per_second": round(tokens / seconds, 1),
        "peak_bytes": needed,
        "padding": round(padding, 4),
        "seconds": round(seconds, 3),
        "operations": counted,
        "product_flops": round(product),
        "parameters": on.facts["parameters"],
    }


def _items(training: Training, step: int) -> list[Any]:
    return Stream(training.data, training.options.seed, training.options.batch_size).at(step)


def compared(case: str, together: int, about: argparse.Namespace) -> dict[str, Any]:
    """Medians over the rounds; each round begins with another way."""
    ways = ["together", "separate", *([] if about.without_trainer else ["trainer"])]
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for number in range(about.rounds):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            command = [sys.executable, __file__, *sys.argv[1:], "--measure", case, way, str(together)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
    result: dict[str, Any] = {"case": case, "vectors": together}
    operations = found["together"][0]["operations"]  # counted once, since the work is the same
    for way, some in found.items():
        for one in some:
            one["utilisation"] = round(operations / one["seconds"] / one["product_flops"], 3)
        result[way] = {name: median(one[name] for one in some) for name in some[0]}
    for way in ways[1:]:
        pairs = zip(found["together"], found[way], strict=True)
        result[f"over_{way}"] = round(median(a["tokens_per_second"] / b["tokens_per_second"] for a, b in pairs), 3)
    return result


def keep(about: argparse.Namespace, results: Sequence[Mapping[str, Any]]) -> None:
    """Write what was asked and what came of it as JSON, where ``--out`` says where."""
    if about.out:
        asked = {name: value for name, value in vars(about).items() if name not in ("out", "measure")}
        facts = {"versions": versions(), "threads": torch.get_num_threads(), "asked": asked, "results": results}
        about.out.write_text(json.dumps(facts, indent=1) + "\n")


def main() -> None:
    """Print a small table; write the same facts, and what they were measured with, as JSON."""
    parser = argparse.ArgumentParser(description="vectors together, apart, and by PEFT with transformers' Trainer")
    parser.add_argument("--only", nargs="+", choices=CASES, default=["newsroom", "llama-30", "t5-30"])
    parser.add_argument("--together", nargs="+", type=int, default=[1, 4, 12], help="numbers of vectors")
    parser.add_argument("--rows", type=int, default=8, help="examples in a step of a vector")
    parser.add_argument("--length", type=int, default=64, help="tokens of an example, at most")
    parser.add_argument("--passes", type=int, default=3, help="timed steps of each vector")
    parser.add_argument("--warm-up", type=int, default=1, help="steps of each vector before these")
    parser.add_argument("--rounds", type=int, default=3, help="turns that each way takes")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="of the backbone")
    parser.add_argument("--without-trainer", action="store_true")
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    about = parser.parse_args()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT asks transformers by an old name
    if about.measure:
        case, way, together = about.measure
        print(json.dumps(measured(case, way, int(together), about)))
        return
    print(f"{'backbone':<10} {'K':>3}  {'way':<9} {'tokens/s':>9} {'peak MB':>8} {'padding':>8} {'of peak':>8}  ratio")
    results = []
    for case in about.only:
        for together in about.together:
            results.append(compared(case, together, about))
            for way in ("together", "separate", "trainer"):
                if one := results[-1].get(way):
                    ratio = results[-1].get(f"over_{way}", "")
                    print(
                        f"{case:<10} {together:>3}  {way:<9} {one['tokens_per_second']:>9,.0f} "
                        f"{one['peak_bytes'] / 1e6:>8.0f} {one['padding']:>8.1%} {one['utilisation']:>8.1%}  {ratio}",
                        flush=True,
                    )
    keep(about, results)


if __name__ == "__main__":
    main()

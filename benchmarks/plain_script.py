"""Table 1 on the newsroom by PEFT and transformers, as one writes it today for one's own paper.

    python benchmarks/plain_script.py --targets pt yo --steps 30 --out plain.json

Trainer trains a LoRA adapter on English labels and one on plain text of English and of each target.
For each target and λ the factors are summed by hand, loaded into the PEFT model, and ``generate``
writes the validation articles, the adapter not merged; λ is the best by mean ROUGE-2. Then the test
articles. What does not differ between the two sides of :mod:`study` comes from lingarith: the
study's settings, the examples of each step, the start of the adapters, and the score.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generation import CLOCKS, theirs
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

from lingarith.adapters.lora import Lora
from lingarith.model.backbone import Backbone
from lingarith.model.batches import PrefixItems, Stream, TrainingData, task_items
from lingarith.model.loading import load
from lingarith.model.options import TrainOptions
from lingarith.scores.metrics import METRICS
from lingarith.scores.rouge import CallableTokenizer
from lingarith.scores.units import Units
from lingarith.study.study import Study, read_study
from lingarith.text import tasks
from lingarith.text.corpora import plain_text
from lingarith.unicode import composed

State = dict[str, Tensor]
"""An adapter's factors by PEFT's names."""
Sum = dict[str, float]
"""Coefficients of adapters by their names."""
TASK = "task"
SECONDS: defaultdict[str, float] = defaultdict(float)
"""Where the time goes: training, validation, test."""


@contextmanager
def counted(phase: str, clock: str) -> Iterator[None]:
    """While open, seconds of a phase."""
    began = CLOCKS[clock]()
    yield
    SECONDS[phase] += CLOCKS[clock]() - began


def initial(backbone: Backbone, options: TrainOptions) -> State:
    """Where every adapter starts."""
    state = {}
    assert isinstance(options.adapter, Lora)
    for path, term in options.adapter.init(backbone.shapes, options.init_seed).items():
        state[f"base_model.model.{path}.lora_A.weight"] = term.a
        state[f"base_model.model.{path}.lora_B.weight"] = term.b
    return state


def examples(data: TrainingData, options: TrainOptions) -> list[dict[str, list[int]]]:
    """The examples of all steps, one step after the other; those of a step are alike in length."""
    stream = Stream(data, options.seed, options.batch_size)
    items = [item for step in range(options.steps) for item in stream.at(step)]
    return [{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": target} for ids, target in items]


def trained(model: Any, backbone: Backbone, start: State, data: TrainingData, options: TrainOptions) -> State:
    """The factors after a training from the start."""
    set_peft_model_state_dict(model, start)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, options.learning_rate, weight_decay=options.weight_decay, fused=True)
    # Trainer's own schedule is one step behind: its first step has a rate of 0.
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: options.rate(step) / options.learning_rate)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=options.steps, per_device_train_batch_size=options.batch_size,
            max_grad_norm=options.clip, train_sampling_strategy="sequential", save_strategy="no",
            logging_strategy="no", report_to=[], dataloader_pin_memory=False, remove_unused_columns=False,
        )  # fmt: skip
        Trainer(
            model, arguments, train_dataset=examples(data, options),
            data_collator=DataCollatorForSeq2Seq(backbone.tokenizer), optimizers=(optimizer, schedule),
        ).train()  # fmt: skip
    model.eval()
    return {name: tensor.clone() for name, tensor in get_peft_model_state_dict(model).items()}


def adapters(model: Any, backbone: Backbone, study: Study, folder: Path) -> dict[str, State]:
    """The English task adapter, and a language adapter for English and each target."""
    labels, text = study.training(0, labels=True), study.training(0, labels=False)
    start = initial(backbone, labels)
    labelled = tasks.examples(
        tasks.TASKS["summaries"], "newsroom", "en", "train", limit=study.data.train_limit, folder=folder
    )
    data = task_items(backbone, labelled, max_input=labels.max_input, max_target=labels.max_target)
    found = {TASK: trained(model, backbone, start, data, labels)}
    for language in (*study.languages.sources, *study.languages.targets):
        documents = plain_text("newsroom", language, limit_characters=study.data.characters, folder=folder)
        chunks = PrefixItems(backbone, documents, length=text.max_input)
        found[language] = trained(model, backbone, start, chunks, text)
    return found


def add(target: str, lam: float) -> Sum:
    """Eq. 1."""
    return {TASK: lam, target: 1 - lam}


def add_subtract(target: str, lam: float) -> Sum:
    """Eq. 2."""
    return {TASK: lam, target: 1 - lam, "en": lam - 1}


EQUATIONS = {"add": add, "add_subtract": add_subtract}


def summed(states: dict[str, State], weights: Sum) -> State:
    """A sum of adapters, factor by factor."""
    return {key: sum((c * states[name][key] for name, c in weights.items()), torch.zeros(())) for key in states[TASK]}


class Trials:
    """ROUGE-2 of sums of adapters on a target's articles; no sum is tried twice."""

    def __init__(
        self, model: Any, backbone: Backbone, states: dict[str, State], study: Study, folder: Path, clock: str
    ) -> None:
        self.model, self.backbone, self.states, self.study, self.folder = model, backbone, states, study, folder
        self.clock = clock
        self.done: dict[Any, float] = {}

    def score(self, weights: Sum, language: str, split: str) -> float:
        """The mean, 0 to 100."""
        weights = {name: c for name, c in weights.items() if c}
        key = (frozenset(weights.items()), language, split)
        if key not in self.done:
            with counted(split, self.clock):
                self.done[key] = self._score(weights, language, split)
        return self.done[key]

    def _score(self, weights: Sum, language: str, split: str) -> float:
        limit = self.study.data.validation_limit if split == "validation" else self.study.data.test_limit
        data = tasks.examples(
            tasks.TASKS["summaries"], "newsroom", language, split, limit=limit, folder=self.folder
        ).examples
        set_peft_model_state_dict(self.model, summed(self.states, weights))
        outputs = theirs(self.model, self.backbone, [one.input for one in data], self.study.writing)
        tokenizer = Units(CallableTokenizer(self.backbone.tokenizer.tokenize))
        scores = METRICS["rouge2"].score(list(map(composed, outputs)), [one.references for one in data], tokenizer)
        return float(np.mean(scores))


def table(trials: Trials) -> dict[str, dict[str, Any]]:
    """For each target and row: λ, ROUGE-2 on test, and the validation curve that λ was chosen by."""
    found = {}
    for target in trials.study.languages.targets:
        rows: dict[str, Any] = {"baseline": {"weight": None, "score": trials.score({TASK: 1.0}, target, "test")}}
        for name, equation in EQUATIONS.items():
            weights = trials.study.weights_of(name)
            curve = {lam: trials.score(equation(target, lam), target, "validation") for lam in weights}
            best = max(curve, key=lambda lam: (curve[lam], lam))
            score = trials.score(equation(target, best), target, "test")
            rows[name] = {"weight": best, "score": score, "curve": list(curve.items())}
        found[target] = rows
    return found


def main() -> None:
    """Print the table; write it and the seconds of each phase as JSON."""
    parser = argparse.ArgumentParser(description="Table 1 by PEFT and transformers")
    parser.add_argument("--targets", nargs="+", help="all eleven without it")
    parser.add_argument("--steps", type=int, help="of every training")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args()
    changes = [f"targets={','.join(given.targets)}"] if given.targets else []
    changes += [f"steps={given.steps}"] if given.steps else []
    study = read_study("table1", texts=changes)
    backbone = load("newsroom")
    adapter = study.training(0, labels=True).adapter
    assert isinstance(adapter, Lora)
    lora = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.rank,
        target_modules=list(backbone.projections),
        task_type="SEQ_2_SEQ_LM",
    )
    model = get_peft_model(backbone.model, lora)
    with tempfile.TemporaryDirectory() as place:
        with counted("training", given.clock):
            states = adapters(model, backbone, study, Path(place))
        rows = table(Trials(model, backbone, states, study, Path(place), given.clock))
    for target, methods in rows.items():
        for name, row in methods.items():
            chosen = "" if row["weight"] is None else f"λ = {row['weight']:g}"
            print(f"{target:<4} {name:<13} {row['score']:>6.2f}  {chosen}")
    if given.out:
        given.out.write_text(json.dumps({"table": rows, "seconds": dict(SECONDS)}, indent=1) + "\n")


if __name__ == "__main__":
    main()

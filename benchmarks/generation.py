"""Generation: lingarith against transformers' ``generate`` as people use it.

    python benchmarks/generation.py --rounds 5 --out generation.json
    python benchmarks/generation.py --backbone gemma-3-270m --max-input 250 --long --examples 32 --max-output 24

Peer: a PEFT adapter on the model, not merged, batches of 16 in the order of the file. Ours: the same
update merged while generating, batches by length, rows leave when they have ended. Both write
headlines for the newsroom's test articles of a language, greedily. Both sides take turns; counted are the
fastest turns, since the machine may have other work. The outputs are compared: merging rounds
otherwise than adding, so a tie may fall the other way, and how many differ is printed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from peft import PeftModel

from lingarith.adapters.lora import Lora
from lingarith.algebra import parse
from lingarith.formats.peft import write_peft
from lingarith.model.backbone import Backbone
from lingarith.model.generate import generate
from lingarith.model.inputs import framed_inputs
from lingarith.model.loading import load
from lingarith.model.options import Decoding
from lingarith.text.tasks import TASKS, examples
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.vector import Vector

PEER_BATCH = 16
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""Seconds elapsed, or seconds of all processors, which other work on the machine disturbs less."""
Made = TypeVar("Made")


def vector(backbone: Backbone, name: str = "task", seed: int = 0) -> Vector:
    """A vector of rank 4 that moves outputs a little, as a trained one does."""
    generator = torch.Generator().manual_seed(seed)
    start = Lora(4).init(backbone.shapes, 0)
    moved = {
        path: (type(term)(term.a, 0.01 * torch.randn(term.b.shape, generator=generator)),)
        for path, term in start.items()
    }
    return Vector(name, moved, 1.0, {"backbone": backbone.facts, "init_hash": "equal"})


def theirs(model: Any, backbone: Backbone, inputs: list[str], decoding: Decoding) -> list[str]:
    """A turn of transformers and PEFT."""
    made = []
    for start in range(0, len(inputs), PEER_BATCH):
        rows = framed_inputs(backbone, inputs[start : start + PEER_BATCH], decoding.max_input)
        side = "right" if backbone.encoder_decoder else "left"
        batch = backbone.tokenizer.pad({"input_ids": rows}, padding_side=side, return_tensors="pt").to(backbone.device)
        with torch.inference_mode():
            out = model.generate(
                **batch, do_sample=False, max_new_tokens=decoding.max_output,
                pad_token_id=backbone.tokenizer.pad_token_id, eos_token_id=backbone.eos,
            )  # fmt: skip
        out = out if backbone.encoder_decoder else out[:, batch["input_ids"].shape[1] :]
        made += [text.strip() for text in backbone.tokenizer.batch_decode(out, skip_special_tokens=True)]
    return made


def in_turns(
    sides: dict[str, Callable[[], Made]], rounds: int, now: Clock = time.perf_counter
) -> tuple[dict[str, Made], dict[str, list[float]]]:
    """What the sides make, in a first turn that warms up, and the seconds of each one's further turns."""
    made = {name: run() for name, run in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            began = now()
            run()
            seconds[name].append(now() - began)
    return made, seconds


def keep(asked: argparse.Namespace, facts: Mapping[str, Any]) -> None:
    """Write what was asked and what came of it as JSON, where ``--out`` says where."""
    if asked.out:
        about = {**vars(asked), "out": str(asked.out), "threads": torch.get_num_threads()}
        asked.out.write_text(json.dumps({**about, **facts}, indent=1) + "\n")


def main() -> None:
    """Print one line; write the same facts as JSON."""
    parser = argparse.ArgumentParser(description="generation: lingarith against transformers and PEFT")
    parser.add_argument("--backbone", default="newsroom")
    parser.add_argument("--language", default="pt")
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--max-input", type=int, default=128)
    parser.add_argument("--max-output", type=int, default=40)
    parser.add_argument("--long", action="store_true", help="three articles in one, to fill the input")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--out", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT asks transformers by an old name
    backbone, peer = load(arguments.backbone), load(arguments.backbone)
    decoding = Decoding(max_input=arguments.max_input, max_output=arguments.max_output)
    update = {"task": vector(backbone)}
    with tempfile.TemporaryDirectory() as place:
        task, limit = TASKS["summaries"], arguments.examples
        data = examples(task, "newsroom", arguments.language, "test", limit=limit, folder=Path(place))
        inputs = [example.input for example in data.examples]
        if arguments.long:
            inputs = [" ".join((inputs * 2)[k : k + 3]) for k in range(len(inputs))]
        write_peft(
            Composition(parse("task"), update, Space("delta")), Path(place) / "adapter",
            base_model=arguments.backbone, task_type="SEQ_2_SEQ_LM" if peer.encoder_decoder else "CAUSAL_LM",
        )  # fmt: skip
        model = PeftModel.from_pretrained(peer.model, Path(place) / "adapter")

    def ours() -> list[str]:
        with backbone.using(realise(parse("task"), update, Space("delta"))):
            return generate(backbone, inputs, decoding)

    sides: dict[str, Callable[[], list[str]]] = {
        "PEFT": lambda: theirs(model, peer, inputs, decoding),
        "lingarith": ours,
    }
    outputs, seconds = in_turns(sides, arguments.rounds, CLOCKS[arguments.clock])
    best = {name: min(times) for name, times in seconds.items()}
    differ = sum(one != other for one, other in zip(*outputs.values(), strict=True))
    print(
        f"{arguments.backbone}, {len(inputs)} articles: PEFT + generate {best['PEFT']:.2f} s, lingarith"
        f" {best['lingarith']:.2f} s, ratio {best['PEFT'] / best['lingarith']:.2f}; {differ} outputs differ"
    )
    keep(arguments, {"seconds": seconds, "differ": differ})


if __name__ == "__main__":
    main()

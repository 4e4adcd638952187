"""Outputs for a grid of λ: all compositions side by side, one after another, and PEFT with ``generate``.

    python benchmarks/grid.py --backbone newsroom --examples 64 --space factors --out grid.json

Add and Subtract at eleven λ, greedily, on validation articles (random tokens for the random backbones).
"Side by side" shares batches among compositions, "one after another" merges each into the weights; the peer
has the same compositions as PEFT adapters that are loaded before the clock starts, not merged, and takes
batches of 16 in the order of the file. All sides take turns; counted are the fastest turns, since the machine
may have other work. How many outputs differ from those one after another is printed: rounding may decide a tie.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generation import in_turns, keep, theirs
from generation import vector as random_vector
from peft import PeftModel
from together import CASES, backbone

from lingarith.algebra import add_subtract
from lingarith.formats.peft import write_peft
from lingarith.model.beside import AT_ONCE
from lingarith.model.generate import generate, generate_each
from lingarith.model.options import Decoding
from lingarith.study.weights import TENTHS
from lingarith.text.tasks import TASKS, examples
from lingarith.vectors.composition import Composition, Space, realise

Outputs = list[list[str]]


def main() -> None:
    """Print one line; write the same facts as JSON."""
    parser = argparse.ArgumentParser(description="a grid of λ: side by side, one after another, and PEFT")
    parser.add_argument("--backbone", choices=CASES, default="newsroom")
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--max-output", type=int, default=40)
    parser.add_argument("--space", choices=["factors", "delta"], default="factors")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="of the backbone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a JSON file")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT asks transformers by an old name
    on, peer = (backbone(asked.backbone, asked.device, asked.dtype) for _ in range(2))
    decoding, space = Decoding(max_input=128, max_output=asked.max_output), Space(asked.space)
    vectors = {name: random_vector(on, name, seed) for seed, name in enumerate(("task", "target", "source"))}
    expressions = [add_subtract("task", "target", "source", weight) for weight in TENTHS]
    with tempfile.TemporaryDirectory() as place:
        data = examples(TASKS["summaries"], "newsroom", "pt", "validation", limit=asked.examples, folder=Path(place))
        inputs = [example.input for example in data.examples]
        for k, expression in enumerate(expressions):
            write_peft(
                Composition(expression, vectors, space), Path(place) / str(k), base_model=asked.backbone,
                task_type="SEQ_2_SEQ_LM" if peer.encoder_decoder else "CAUSAL_LM",
            )  # fmt: skip
        model: Any = PeftModel.from_pretrained(peer.model, Path(place) / "0", adapter_name="0")
        for k in range(1, len(expressions)):
            model.load_adapter(Path(place) / str(k), adapter_name=str(k))

    def beside() -> Outputs:
        return list(generate_each(on, (realise(one, vectors, space) for one in expressions), inputs, decoding))

    def in_turn() -> Outputs:
        made = []
        for one in expressions:
            with on.using(realise(one, vectors, space)):
                made.append(generate(on, inputs, decoding))
        return made

    def by_peft() -> Outputs:
        made = []
        for k in range(len(expressions)):
            model.set_adapter(str(k))
            made.append(theirs(model, peer, inputs, decoding))
        return made

    sides: dict[str, Callable[[], Outputs]] = {"beside": beside, "in_turn": in_turn, "peft": by_peft}
    outputs, seconds = in_turns(sides, asked.rounds)
    best = {name: min(times) for name, times in seconds.items()}
    flat = {name: [text for own in made for text in own] for name, made in outputs.items()}
    differ = {
        name: sum(a != b for a, b in zip(flat[name], flat["in_turn"], strict=True)) for name in ("beside", "peft")
    }
    print(
        f"{asked.backbone}, {asked.space}, {len(expressions)} λ × {len(inputs)} articles: "
        f"side by side (up to {AT_ONCE}) "
        f"{best['beside']:.2f} s; one after another {best['in_turn']:.2f} s, "
        f"ratio {best['in_turn'] / best['beside']:.2f}; PEFT + generate {best['peft']:.2f} s, "
        f"ratio {best['peft'] / best['beside']:.2f}; "
        f"{differ['beside']} and {differ['peft']} of {len(flat['in_turn'])} outputs differ"
    )
    keep(asked, {"seconds": seconds, "differ": differ})


if __name__ == "__main__":
    main()

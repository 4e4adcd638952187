"""What a composition costs while outputs are written: merged into the weights and not, against the bare backbone.

    python benchmarks/inference.py --rounds 5 --out inference.json

Task vector + language vector − language vector, of rank 4 each, in ``delta``: composed once, then generated with for
the newsroom's test articles of a language, greedily. *Merged*: W + ΔW in the place of W. *Not merged*: hooks add B·A·x
to what projections make; of the exact sum (rank 12), of its cut to rank 4, and of Kronecker factors. Sides take turns,
and the fastest turns count. Bytes: what is held beside the backbone (merged weights could be saved, and then hold
nothing).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from generation import in_turns, keep, vector

from lingarith.adapters.kronecker import Kronecker
from lingarith.algebra import Combination, parse
from lingarith.model.backbone import Backbone
from lingarith.model.generate import generate
from lingarith.model.loading import load
from lingarith.model.options import Decoding
from lingarith.text.tasks import TASKS, examples
from lingarith.vectors.composition import Space, realise
from lingarith.vectors.vector import Update, Vector

SUM = parse("0.6*task + 0.4*(there - away)")


def kronecker(backbone: Backbone, name: str, seed: int) -> Vector:
    """A Kronecker vector with about as many parameters as LoRA of rank 4."""
    start = Kronecker(48, 32).init(backbone.shapes, seed)
    moved = {path: (type(t)(torch.full_like(t.a, 1e-3), t.b),) for path, t in start.items()}
    return Vector(name, moved, 1.0, {"backbone": backbone.facts, "init_hash": "equal"})


def hooked(backbone: Backbone, update: Update) -> AbstractContextManager[None]:
    """The update added to what projections make, not to weights."""

    def add(terms: Any, x: torch.Tensor) -> torch.Tensor:
        total = terms[0].apply(x)
        for term in terms[1:]:
            total = total + term.apply(x)
        return total  # type: ignore[no-any-return]

    return backbone.adding({path: partial(add, terms) for path, terms in update.terms.items()})


def composed(combination: Combination, vectors: dict[str, Vector], space: Space) -> tuple[Update, float]:
    """The update, and the seconds that composing it takes."""
    began = time.perf_counter()
    update = realise(combination, vectors, space)
    assert update
    return update, time.perf_counter() - began


def main() -> None:
    """Print a line for each side; write the same facts as JSON."""
    parser = argparse.ArgumentParser(description="what a composition costs while outputs are written")
    parser.add_argument("--backbone", default="newsroom")
    parser.add_argument("--language", default="pt")
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--max-output", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="a JSON file")
    arguments = parser.parse_args()
    backbone = load(arguments.backbone)
    decoding = Decoding(max_input=128, max_output=arguments.max_output)
    data = examples(
        TASKS["summaries"], "newsroom", arguments.language, "test", limit=arguments.examples, folder=Path("none")
    )
    inputs = [example.asked for example in data.examples]
    low = {name: vector(backbone, name, seed) for seed, name in enumerate(SUM.names)}
    high = {name: kronecker(backbone, name, seed) for seed, name in enumerate(SUM.names)}
    exact, seconds = composed(SUM, low, Space("delta"))
    cut, cut_seconds = composed(SUM, low, Space("delta", rank=4))
    products, product_seconds = composed(SUM, high, Space("delta"))
    opened: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "backbone alone": lambda: backbone.using(None),
        "merged": lambda: backbone.using(exact),
        "not merged, rank 12": lambda: hooked(backbone, exact),
        "not merged, rank 4": lambda: hooked(backbone, cut),
        "not merged, Kronecker": lambda: hooked(backbone, products),
    }

    def side(context: Callable[[], AbstractContextManager[Any]]) -> Callable[[], list[str]]:
        def run() -> list[str]:
            with context():
                return generate(backbone, inputs, decoding)

        return run

    made, turns = in_turns({name: side(context) for name, context in opened.items()}, arguments.rounds)
    weights = sum(4 * math.prod(backbone.sizes[path]) for path in exact.terms)
    held = {"merged": weights} | {
        name: sum(4 * part.numel() for terms in update.terms.values() for term in terms for part in term)
        for name, update in zip(list(opened)[2:], (exact, cut, products), strict=True)
    }
    print(f"composed in {seconds:.3f} s, cut in {cut_seconds:.3f} s, of Kronecker products in {product_seconds:.3f} s")
    rows: list[dict[str, Any]] = []
    for name, times in turns.items():
        tokens = sum(len(ids) for ids in backbone.tokenizer(made[name], add_special_tokens=False)["input_ids"])
        rows.append(
            {"side": name, "tokens_per_second": tokens / min(times), "tokens": tokens, "bytes": held.get(name, 0)}
        )
        ratio = rows[0]["tokens_per_second"] / rows[-1]["tokens_per_second"]
        print(
            f"{name:24} {rows[-1]['tokens_per_second']:8.0f} tokens/s, {ratio:.2f} times the backbone's time a token, "
            f"{held.get(name, 0) / 1e6:.2f} MB beside it ({tokens:,} tokens)"
        )
    keep(arguments, {"sides": rows, "seconds": turns})


if __name__ == "__main__":
    main()

"""What is said of a composition: warnings that come when they should, tables, and the order of a model's parts."""

from __future__ import annotations

import json

import pytest
import torch
from rich.console import Console

from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.algebra import parse
from lingarith.inspection.measure import Inspection, inspect
from lingarith.report.inspected import as_text, facts, grid, warnings
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Vector, content_hash

Pair = tuple[list[float], list[float]]


def vectors(**pairs: Pair) -> dict[str, Vector]:
    """Vectors of rank 1 on one projection, from their a and b."""
    return {
        name: Vector(name, {"q": (LoraTerm(torch.tensor([a]), torch.tensor([b]).T),)}, 1.0, {"init_hash": "0"})
        for name, (a, b) in pairs.items()
    }


def inspected(expression: str, **pairs: Pair) -> Inspection:
    return inspect(parse(expression), vectors(**pairs), ["factors", "delta", "peft-linear"])


def shown(inspection: Inspection, *, per_module: bool = False) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(as_text(inspection, per_module=per_module))
    return capture.get()


def test_nothing_to_warn_of() -> None:
    alike: Pair = ([1.0, 0.0], [1.0, 0.0])
    assert warnings(inspected("0.5*(x + y)", x=alike, y=([1.0, 0.0], [0.0, 1.0]))) == []


def test_where_subtraction_would_add() -> None:
    (said,) = (line for line in warnings(inspected("-x", x=([1.0, 0.0], [1.0, 2.0]))) if "would" in line)
    assert said == (
        "in factors, subtracting would add x in 1 of 1 projections; overall its share in the result is −1.00, "
        "1 is as asked"
    )


def test_where_addition_would_subtract() -> None:
    # factors: (b₁ − 3·b₂)(a₁ − 3·a₂) with a₂ = a₁ is −2·(b₁ − 3·b₂)a₁
    said = warnings(inspected("x - 3*y", x=([1.0, 0.0], [1.0, 0.0]), y=([1.0, 0.0], [0.0, 1.0])))
    assert (
        "in factors, adding would subtract x in 1 of 1 projections; overall its share in the result is −2.00, "
        "1 is as asked"
    ) in said
    assert "factors points elsewhere: its cosine to the exact sum is −1.00" in said


def test_a_flip_in_some_projections_is_told() -> None:
    """With a = 1 for x and α for y, factors makes (3α − 1)·(3·b₂ − b₁) of 3y − x: the share of x is 3α − 1."""
    first, second, one = torch.eye(2)[:, :1], torch.eye(2)[:, 1:], torch.ones(1, 1)
    x = {f"layers.{n}.q": (LoraTerm(one, first),) for n in range(3)}
    y = {f"layers.{n}.q": (LoraTerm(alpha * one, second),) for n, alpha in enumerate((0, 1, 1))}
    both = {name: Vector(name, terms, 1.0, {"init_hash": "0"}) for name, terms in (("x", x), ("y", y))}
    assert warnings(inspect(parse("3*y - x"), both, ["factors"]))[0] == (
        "in factors, subtracting would add x in 1 of 3 projections; overall its share in the result is 1.00, "
        "1 is as asked"
    )


def test_too_little_of_the_task() -> None:
    pairs: dict[str, Pair] = {"task": ([1.0, 0.0], [1.0, 0.0]), "there": ([1.0, 0.0], [0.0, 0.1])}
    both = vectors(**pairs)
    both["task"] = Vector("task", both["task"].terms, 1.0, {"init_hash": "0", "kind": "task"})

    def told(expression: str) -> list[str]:
        return [said for said in warnings(inspect(parse(expression), both, ["factors", "delta"])) if "left" in said]

    assert told("0.3*task + 0.7*there") == [
        "in factors, 0.30 of the task vector is left; sums with so little mostly lost",
        "in delta, 0.30 of the task vector is left; sums with so little mostly lost",
    ]
    assert told("0.5*task + 0.5*there") == told("0.3*task") == told("there - 0.3*task") == []


def test_a_language_part_that_is_much_larger_than_the_task_part() -> None:
    """The parts are 1·‖task‖ = 1 and ‖2·(1, 0) − 2·(0, 1)‖ = 2.83."""
    pairs: dict[str, Pair] = {"task": ([1.0], [0.0, 1.0]), "one": ([1.0], [2.0, 0.0]), "other": ([1.0], [0.0, 2.0])}
    three = vectors(**pairs)
    three["task"] = Vector("task", three["task"].terms, 1.0, {"init_hash": "0", "kind": "task"})

    def told(expression: str) -> list[str]:
        return [said for said in warnings(inspect(parse(expression), three, ["delta"])) if "language part" in said]

    assert told("task + one - other") == [
        "the language part is 2.83 times as large as the task part; of such sums 4 in 10 lost on a real model"
    ]
    assert told("2*task + one - other") == told("one - other") == told("task") == []


def test_what_leaves_nothing() -> None:
    one: Pair = ([1.0, 0.0], [1.0, 0.0])
    said = warnings(inspected("x - y", x=one, y=([1.0, 0.0], [0.0, 1.0])))
    assert "peft-linear leaves nearly nothing: 0.00 of the exact sum's norm" in said
    said = warnings(inspected("x - 0.95*y", x=one, y=one))
    assert "the vectors cancel: their exact sum is 5 % of the largest one" in said
    assert "y is 0: it adds nothing" in warnings(inspected("x + y", x=one, y=([1.0, 0.0], [0.0, 0.0])))


@pytest.mark.parametrize(("step", "still"), [(1e-4, True), (0.1, False)])
def test_a_vector_that_hardly_moved(step: float, still: bool) -> None:
    shapes = {"q": (8, 8)}
    start = Lora(2).init(shapes, 0)
    moved = {path: (LoraTerm(a + step, b + step),) for path, (a, b) in start.items()}
    begun = content_hash(FlatTensors({path: (term,) for path, term in start.items()}))
    x = Vector("x", moved, 1.0, {"init_seed": 0, "init_hash": begun})
    said = warnings(inspect(parse("x"), {"x": x}))
    assert said == ["x hardly moved from its start; was it trained long enough?"] * still


def test_outliers_are_named_and_counted() -> None:
    one = torch.ones(1, 1)
    norms = {f"layers.{n}.q": 10.0 if n < 4 else 1.0 for n in range(12)}
    x = Vector("x", {path: (LoraTerm(one, norm * one),) for path, norm in norms.items()}, 1.0)
    said = warnings(inspect(parse("x"), {"x": x}, ["delta"]))
    assert said[0] == "layers.0.q is 10 times as large as in other layers"
    assert said[3:] == ["further outliers: 1 of 12 projections"]


def test_the_order_of_a_model() -> None:
    t5 = [
        f"{stack}.block.{layer}.layer.{number}.{kind}.{name}"
        for layer in (10, 2)
        for stack, number, kind in (
            ("decoder", 1, "EncDecAttention"),
            ("decoder", 0, "SelfAttention"),
            ("encoder", 0, "SelfAttention"),
        )
        for name in "okqv"
    ]
    found = grid(t5)
    groups = ("encoder self", "decoder self", "decoder cross")
    assert list(found) == [(group, name) for group in groups for name in "qkvo"]
    assert list(found["decoder cross", "k"]) == [2, 10]
    assert found["decoder cross", "k"][10] == "decoder.block.10.layer.1.EncDecAttention.k"
    llama = grid([f"model.layers.0.self_attn.{name}" for name in ("k_proj", "o_proj", "q_proj", "v_proj")])
    assert list(llama) == [("", name) for name in ("q_proj", "k_proj", "v_proj", "o_proj")]
    wide = [
        f"{stack}.block.{k}.layer.2.DenseReluDense.w{x}"
        for k in (0, 1)
        for stack in ("encoder", "decoder")
        for x in "io"
    ]
    groups = ("encoder self", "encoder feed-forward", "decoder self", "decoder cross", "decoder feed-forward")
    found = grid([*t5, *wide])
    assert [group for group, name in found if name in ("q", "wi")] == list(groups)
    assert list(found["decoder feed-forward", "wo"]) == [0, 1]
    both = grid([f"model.layers.0.{name}" for name in ("mlp.up_proj", "self_attn.v_proj", "self_attn.q_proj")])
    assert list(both) == [("", "q_proj"), ("", "v_proj"), ("", "up_proj")]
    assert list(grid(["h.0.first.query", "h.0.second.query"])) == [("h.*.first", "query"), ("h.*.second", "query")]
    assert list(grid(["q", "layers.0.k"]).values()) == [{None: "q"}, {0: "layers.0.k"}]


def test_the_tables() -> None:
    found = inspected("x - y", x=([1.0, 0.0], [2.0, 4.0]), y=([3.0, 2.0], [6.0, 0.0]))
    text = shown(found)
    assert all(len(line) <= 80 for line in text.splitlines())
    rows = [line.split() for line in text.splitlines()]
    assert ["factors", "−0.78", "0.78", "50", "%"] in rows
    assert ["delta", "1.00", "1.00", "0", "%"] in rows
    assert next(row for row in rows if row[:2] == ["x", "1"])[:6] == ["x", "1", "4.47", "?", "?", "−2.00"]
    assert "Signs differ in 25 % of the entries; 11 % of the magnitude cancels" in text
    assert "Lost by the best rank: 12 % at 1, 0 % at 2" in text
    assert "Projection" not in text
    assert ["q", "20.4", "11", "%", "−0.78"] in [
        line.split()[:5] for line in shown(found, per_module=True).splitlines()
    ]


def test_a_refusal_is_shown() -> None:
    x, y = vectors(x=([1.0, 0.0], [2.0, 4.0]), y=([3.0, 2.0], [6.0, 0.0])).values()
    y.origin["init_hash"] = "1"  # type: ignore[index]
    text = " ".join(shown(inspect(parse("x + y"), {"x": x, "y": y})).split())
    assert "not in factors: x and y cannot be added in factors space: initialisations 0… and 1… differ" in text


def test_one_vector_alone() -> None:
    text = shown(inspected("x", x=([1.0, 0.0], [1.0, 0.0])))
    assert "Cosines" not in text
    assert "Signs" not in text


def test_facts_are_plain_json() -> None:
    found = inspected("x - y", x=([1.0, 0.0], [2.0, 4.0]), y=([3.0, 2.0], [6.0, 0.0]))
    told = json.loads(json.dumps(facts(found), allow_nan=False))
    assert told["total"]["results"]["factors"]["shares"] == pytest.approx({"x": -2, "y": -2 / 3})
    assert told["projections"]["q"] == told["total"]
    assert told["total"]["drift"] == {"x": None, "y": None}
    assert told["warnings"] == warnings(found)

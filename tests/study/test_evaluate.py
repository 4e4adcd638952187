"""A bench generates each composition once, and scores what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.algebra import Combination, vector
from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.scores.rouge import rouge2
from lingarith.study import evaluate
from lingarith.study.evaluate import Bench, Outcome, mean
from lingarith.text.tasks.labelled import Labelled, TaskExample
from lingarith.vectors.vector import Vector

NOTHING = Combination()
TEXT = "O presidente visitou a cidade depois das eleições e falou com os moradores."


def labelled(language: str = "pt", split: str = "test") -> Labelled:
    examples = tuple(
        TaskExample(f"{split}-{k}", f"summarize: {TEXT}", "A ponte nova foi aberta ontem", TEXT) for k in range(2)
    )
    return Labelled("summaries", language, split, "here", examples, "f")


def test_identical_compositions_are_generated_once(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def echo(_: Backbone, updates: Iterable[None], inputs: list[str], *__: Any, **___: Any) -> Iterator[list[str]]:
        for _ in updates:
            calls.append(inputs)
            yield inputs

    monkeypatch.setattr(evaluate, "generate_each", echo)
    bench = Bench(backbone, {}, "delta")
    first = bench.outcomes(NOTHING, labelled())
    assert bench.outcomes(0.5 * vector("a") - vector("a") / 2, labelled()) == first  # written otherwise, 0 as well
    assert len(calls) == 1
    bench.outcomes(NOTHING, labelled(split="validation"))
    bench.outcomes(NOTHING, labelled("uk"))
    assert len(calls) == 3


def test_several_come_in_their_order_and_each_is_generated_once(backbone: Backbone) -> None:
    """One of them is known, one in part, one is asked for twice."""
    generator, vectors = torch.Generator().manual_seed(0), {}
    for name in ("a", "b"):
        start = Lora(2).init(backbone.shapes, 0)
        terms = {p: (LoraTerm(t.a, torch.randn(t.b.shape, generator=generator)),) for p, t in start.items()}
        vectors[name] = Vector(name, terms, 1.0, {"backbone": backbone.facts})
    few, all_ = (replace(labelled(), examples=labelled().examples[:count]) for count in (1, 2))
    asked = [weight * vector("a") + (1 - weight) * vector("b") for weight in (0.1, 0.4, 0.7, 0.4, 0.9)]
    one_by_one, bench = Bench(backbone, vectors, "delta"), Bench(backbone, vectors, "delta")
    expected = [one_by_one.outcomes(one, all_) for one in asked]
    bench.outcomes(asked[2], all_)
    bench.outcomes(asked[4], few)
    heard: list[int] = []
    assert list(bench.outcomes_of(asked, all_, heard.append)) == expected
    assert set(map(len, bench.done.values())) == {2}
    assert heard
    assert max(heard) <= 2 * len(asked)


def test_outcomes_by_hand(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "rouge2", rouge2)
    bench = Bench(backbone, {}, "delta", sources=("en",))
    outputs = ["A ponte nova foi aberta ontem", "The president visited the city after the elections"]
    right, wrong = bench.score(outputs, labelled())
    assert (right.id, right.score, right.kind) == ("test-0", 100.0, "target")
    assert (wrong.id, wrong.kind) == ("test-1", "source")
    assert wrong.score < 20
    assert [o.kind for o in bench.score(["", TEXT], labelled())] == ["empty", "copied"]


def test_a_language_with_a_region_is_recognised(backbone: Backbone) -> None:
    """The identifier knows de, and pt-BR by its first part."""
    bench = Bench(backbone, {}, "delta")
    german = "Der Präsident besuchte die Stadt nach den Wahlen"
    assert [o.kind for o in bench.score([german, german], labelled("de-AT"))] == ["target", "target"]
    portuguese = "A ponte nova foi aberta ontem"
    assert [o.kind for o in bench.score([portuguese, portuguese], labelled("pt-BR"))] == ["target", "target"]


def test_how_rouge_is_cut_is_said(backbone: Backbone) -> None:
    bench = Bench(backbone, {}, "delta")
    assert bench.tokenizer("en") is None
    assert "English" in bench.scoring("en")
    assert backbone.name in bench.scoring("fa")


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_a_bad_score_model_is_an_error_before_anything_is_generated(
    content: bytes | None, backbone: Backbone, tmp_path: Path
) -> None:
    path = tmp_path / "spiece.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LingarithError, match=r"spiece\.model"):
        Bench(backbone, {}, "delta", score_model=path)


def test_mean() -> None:
    assert mean([Outcome("a", "", 10.0, "target"), Outcome("b", "", 20.0, "other")]) == 15.0
    with pytest.raises(LingarithError, match="no examples"):
        mean([])

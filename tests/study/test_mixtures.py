"""The studies mixed, cost, addition and linearity: what stands in them, and that they run whole on a tiny backbone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.store.objects import vector_hash
from lingarith.store.store import Store
from lingarith.study import records as r
from lingarith.study.lab import Lab
from lingarith.study.mixtures import CUT
from lingarith.study.place import Method
from lingarith.study.recipes import place_of
from lingarith.study.run import run
from lingarith.vectors.composition import compose
from lingarith.vectors.vector import Vector

Labs = Callable[..., Lab]
SMALL = {"weights": (0.0, 0.5, 1.0), "validation_limit": 2, "test_limit": 2}


def methods(lab: Lab) -> dict[str, Method]:
    made = place_of(lab, "summaries", "pt", 0).methods
    assert len({method.name for method in made}) == len(made)
    return {method.name: method for method in made}


def test_mixed_adds_every_two_kinds_and_cuts_what_mixes_them(lab: Labs) -> None:
    one = lab("mixed", **SMALL, space="delta", variants=("kronecker=4x2", "kronecker=2x4"), controls=())
    made = methods(one)
    kinds = ["LoRA 2", "Kron 4×2", "Kron 2×4"]
    assert [name for name in made if "alone" in name] == ["Kron 4×2 alone", "Kron 2×4 alone", "both alone"]
    exact = [name for name, method in made.items() if len(method.tried) > 1 and not method.sums]
    assert {*exact} == {a if a == b else f"{a} + {b}" for a in kinds for b in kinds} | {"both"}
    assert made["LoRA 2 + Kron 4×2"].tried[0.5] == parse(
        "0.5*headlines[en] + 0.5*(news.kronecker4x2[pt] - news.kronecker4x2[en])"
    )
    assert made["both alone"].tried[1.0] == parse("0.5*(headlines[en] + headlines.kronecker4x2[en])")
    cuts = {name: method.sums for name, method in made.items() if method.sums}
    assert cuts["LoRA 2 + Kron 4×2 (rank 8)"] == {"rank_out": CUT}
    assert cuts["both (2 × Kronecker 4 × 2)"] == {"rank_out": 2, "kronecker_out": (4, 2)}
    assert len(cuts) == 6


def test_cost_changes_the_language_vector_alone(lab: Labs) -> None:
    made = methods(lab("cost", **SMALL, variants=("language_steps=2", "characters=2000", "rank=1")))
    assert [*made] == ["baseline", "add", "language_steps=2", "characters=2000", "rank=1", "scaled", "random"]
    assert made["rank=1"].tried[0.5] == parse("0.5*headlines[en] + 0.5*news.rank1[pt]")
    assert made["language_steps=2"].tried[0.5] == parse("0.5*headlines[en] + 0.5*news.language_steps2[pt]")
    assert made["random"].tried[0.5] == parse("0.5*headlines[en] + 0.5*random[pt]")
    with pytest.raises(LingarithError, match=r"'characters=9000' takes more than the study's 3,000 characters"):
        methods(lab("cost", **SMALL, variants=("characters=9000",)))


def test_addition_holds_vectors_that_are_made_for_it_against_usual_ones(lab: Labs) -> None:
    one = lab("addition", **SMALL, space="delta", variants=("freeze_a=true rank=4",))
    made = methods(one)
    usual, frozen = ("LoRA 2", "LoRA 4 frozen")
    assert [name for name in made if "Eq. 2" in name] == [
        *(f"{usual}, Eq. 2, {space}" for space in ("delta", "anchored", "delta, rank 2")),
        *(f"{frozen}, Eq. 2, {space}" for space in ("delta", "anchored")),
        "task on language, Eq. 2, delta", "language on task, Eq. 2, delta",
    ]  # fmt: skip
    assert {f"{frozen}, task", f"{frozen}, scaled", f"{frozen}, random", "baseline", "scaled", "random"} <= {*made}
    on_task, on_language = (made[f"{word}, whole task, delta"].tried[0.0] for word in (r.LANGUAGE_ON, r.TASK_ON))
    assert on_task == parse("headlines[en] + news.on_headlines_en[pt]")
    assert on_language == parse("headlines.on_news_en[en] + news[pt]")
    one.vectors(name for method in made.values() for each in method.tried.values() for name in each.names)
    sums = {
        space: compose(
            made[f"{frozen}, Eq. 2, {space}"].tried[0.5],
            one.vectors(made[f"{frozen}, Eq. 2, delta"].tried[0.5].names), space
        ).update()
        for space in ("delta", "anchored")
    }  # fmt: skip
    for path, terms in sums["delta"].terms.items():
        [term] = sums["anchored"].terms[path]
        assert min(term.a.shape) == 4  # the rank of each vector, and the sum is exact
        torch.testing.assert_close(term.delta(), sum(other.delta() for other in terms), atol=1e-6, rtol=1e-4)


def test_addition_names_what_else_a_variant_changes(lab: Labs) -> None:
    made = methods(lab("addition", **SMALL, space="delta", variants=("freeze_a=true", "freeze_a=true steps=2")))
    assert {"LoRA 2 frozen, Eq. 1, anchored", "LoRA 2 frozen steps=2, Eq. 1, anchored"} <= {*made}


def test_a_vector_on_top_of_another_is_the_same_by_a_study_and_by_hand(lab: Labs, tmp_path: Path) -> None:
    one, again = (lab("addition", **SMALL, space="delta", place=Store(tmp_path)) for _ in range(2))
    by_study, found = (_over_the_task(each) for each in (one, again))
    other = lab("addition", **SMALL, space="delta", place=one.store)
    other.put_on(parse("headlines[en]"))
    [by_hand] = other.vectors(other.language(0, "pt").names).values()
    assert (by_study.name, vector_hash(by_study)) == (by_hand.name, vector_hash(by_hand))
    assert vector_hash(found) == vector_hash(by_study)
    assert not again.trained


def _over_the_task(lab: Lab) -> Vector:
    [task] = lab.task("summaries", 0, "en").names
    [vector] = lab.vectors(lab.language(0, "pt", over=task).names).values()
    return vector


def test_linearity_leads_from_the_task_vector_to_others(lab: Labs) -> None:
    read = {"tasks": ({"task": "summaries", "metric": "likelihood"},)}
    one = lab("linearity", **SMALL | {"weights": (0.5,)}, **read, sources=("en", "ru"))
    made = methods(one)
    assert len(made) == 1 + 5 * 2
    assert all([*method.tried] == [0.0, 0.5, 1.0] for method in made.values() if len(method.tried) > 1)  # and both ends
    assert made["language, one start, factors"].tried[0.0] == parse("news[pt]")
    assert made["task ru, one start, delta"].tried[0.5] == parse("0.5*(headlines[en] + headlines[ru])")
    [again] = made["task en again, one start, delta"].tried[0.0].names
    [anew] = made["task en again, two starts, delta"].tried[0.0].names
    assert [(o.seed, o.init_seed) for o in (one.job(again).options, one.job(anew).options)] == [(1, 0), (1, 1)]
    assert {m.sums["space"] for name, m in made.items() if "two starts" in name} == {"delta", "peft-linear"}


def test_linearity_is_of_losses(lab: Labs) -> None:
    with pytest.raises(LingarithError, match="summaries has the metric 'rouge2'; write tasks="):
        methods(lab("linearity", **SMALL))


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ("mixed", {"space": "delta", "variants": ("kronecker=4x2",)}),
        ("cost", {"space": "delta", "variants": ("characters=2000", "rank=1")}),
        ("addition", {"space": "delta", "variants": ("freeze_a=true rank=4",)}),
        ("linearity", {"tasks": ({"task": "summaries", "metric": "likelihood"},)}),
    ],
)
def test_they_run_whole(table: str, keys: dict[str, object], lab: Labs, tmp_path: Path) -> None:
    made = run(lab(table, **SMALL, **keys), tmp_path / table)
    assert {r.method for r in made.records} == {*made.about.methods}
    cut = {c.method for c in made.choices if c.error > 0}
    assert all("(" in name for name in cut)
    assert bool(cut) == (table == "mixed")


def test_a_variant_says_other_keys(lab: Labs) -> None:
    study = lab("cost", learning_rate=0.5).study
    assert study.varied("") is study
    assert study.varied("rank=1 learning_rate=1e-3").task_training.learning_rate == 1e-3
    assert study.varied("kronecker=4x2").vectors.kind == "kronecker"
    with pytest.raises(LingarithError, match="no key 'ranks'"):
        study.varied("ranks=1")

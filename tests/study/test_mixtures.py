"""The studies mixed, cost and linearity: what stands in them, and that they run whole on a tiny backbone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.study.lab import Lab
from lingarith.study.mixtures import CUT
from lingarith.study.place import Method
from lingarith.study.recipes import place_of
from lingarith.study.run import run

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


def test_linearity_leads_from_the_task_vector_to_others(lab: Labs) -> None:
    one = lab("linearity", **SMALL, sources=("en", "ru"))
    made = methods(one)
    assert len(made) == 1 + 5 * 2
    assert made["language, one start, factors"].tried[0.0] == parse("news[pt]")
    assert made["task ru, one start, delta"].tried[0.5] == parse("0.5*(headlines[en] + headlines[ru])")
    [again] = made["task en again, one start, delta"].tried[0.0].names
    [anew] = made["task en again, two starts, delta"].tried[0.0].names
    assert [(o.seed, o.init_seed) for o in (one.job(again).options, one.job(anew).options)] == [(1, 0), (1, 1)]
    assert {m.sums["space"] for name, m in made.items() if "two starts" in name} == {"delta", "peft-linear"}


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ("mixed", {"space": "delta", "variants": ("kronecker=4x2",)}),
        ("cost", {"space": "delta", "variants": ("characters=2000", "rank=1")}),
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

"""A run made by hand: three languages, four equations, λ grids, with a known right answer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from lingarith.study.records import (
    ADD,
    ADD_SUBTRACT,
    BASELINE,
    EQUATIONS,
    METHODS,
    UNCOUPLED,
    Choice,
    Example,
    Ingredient,
    Record,
    Run,
    append,
)

TEXT = {
    "pt": (
        "Um terremoto de magnitude 6,1 atingiu Aveiro na segunda-feira.\n\nNinguém ficou ferido.",
        "Sismo em Aveiro: 12 feridos",
    ),
    "uk": (
        "Землетрус магнітудою 6,1 стався в Полтаві у понеділок.\n\nНіхто не постраждав.",
        "Землетрус у Полтаві: 12 поранених",
    ),
    "fa": ("زمین‌لرزه‌ای به بزرگی ۶٫۱ روز دوشنبه شیراز را لرزاند.\n\nکسی آسیب ندید.", "زمین‌لرزه در شیراز: ۱۲ زخمی"),
}
KINDS = ("target", "target", "target", "source", "other", "empty", "copied")
GAINS = {
    "pt": {ADD: 0.2, ADD_SUBTRACT: 4.0, UNCOUPLED: 2.5},
    "uk": {ADD: -5.0, ADD_SUBTRACT: 0.3, UNCOUPLED: 0.1},
    "fa": {ADD: -8.0, ADD_SUBTRACT: -6.0, UNCOUPLED: -7.0},
}
WEIGHTS = {ADD: 0.95, ADD_SUBTRACT: 0.9, UNCOUPLED: 0.4}
ORACLE = {ADD: 1.0, ADD_SUBTRACT: 0.9, UNCOUPLED: 0.2}
HANDED = {"pt": ADD_SUBTRACT, "uk": BASELINE, "fa": UNCOUPLED}
FORMULA = {
    ADD: "{w:g}*newsroom[en] + {v:g}*text[{t}]",
    ADD_SUBTRACT: "{w:g}*newsroom[en] + {v:g}*(text[{t}] - text[en])",
    UNCOUPLED: "newsroom[en] + {w:g}*(text[{t}] - text[en])",
}


def build(n: int = 40, protocol: str = "sources", **about: Any) -> Run:
    """A run over pt, uk and fa with ``n`` test examples each; ``about`` overrides its facts."""
    random_state = random.Random(7)
    examples, records, choices = [], [], []
    for target, (article, reference) in TEXT.items():
        examples += [Example(target, "test", f"{target}-{i}", article, reference) for i in range(n)]
        examples.append(Example(target, "validation", f"{target}-v", article, reference))
        base = [random_state.uniform(15, 60) for _ in range(n)]
        for equation in EQUATIONS:
            gain = GAINS[target].get(equation, 0.0)
            for weight in dict.fromkeys((WEIGHTS.get(equation), ORACLE.get(equation))):
                noise = 0.0 if equation == BASELINE else 3.0
                for i, score in enumerate(base):
                    kind = KINDS[(i * 5 + len(equation)) % len(KINDS)]
                    output = {"source": "Quake in Shiraz hurts 12", "empty": "", "copied": article}.get(kind, reference)
                    value = min(100.0, max(0.0, score + gain + random_state.gauss(0, noise)))
                    records.append(Record(target, "test", equation, weight, f"{target}-{i}", output, value, kind))
        for equation, weight in WEIGHTS.items():
            for by, at in ((protocol, weight), ("oracle", ORACLE[equation])):
                grid = sorted({x / 10 for x in range(11)} | {weight, ORACLE[equation]})
                top = 40 + GAINS[target][equation]
                alone = 0.0 if equation == UNCOUPLED else 1.0
                curve = [(w, 40.0 if w == alone else max(0.0, top - 90 * abs(w - at) ** 1.5)) for w in grid]
                text = FORMULA[equation].format(w=at, v=1 - at, t=target)
                choices.append(Choice(target, equation, by, at, dict(curve)[at], text, curve))
    vectors = [
        Ingredient(name, f"{i:x}3f0" * 16, 61.5, 1_250_000, 12_000, 400, {"name": name, "seed": 0, "rank": 4})
        for i, name in enumerate(["newsroom[en]", "text[en]", *(f"text[{t}]" for t in TEXT)])
    ]
    facts = {
        "title": "Summaries in pt, uk and fa from English labels",
        "task": "newsroom: an article in, one sentence out",
        "text": "newsroom",
        "backbone": {"name": "newsroom", "fingerprint": "5be1c0ffee", "parameters": 3_300_000},
        "adapter": "LoRA, rank 4, on q, k, v, o",
        "space": "factors",
        "protocol": protocol,
        "protocols": [protocol, "oracle"],
        "sources": ["en"],
        "targets": list(TEXT),
        "score": dict.fromkeys(TEXT, "SentencePiece tokens of newsroom.model, sha256 91c0…"),
        "seed": 0,
        "handed_over": HANDED,
        "notes": ["The articles are synthetic, written by machine: a demonstration, no benchmark of any language."],
        "expressions": {BASELINE: "newsroom[en]", ADD: "λ*newsroom[en] + (1-λ)*text[T]"},
        "made": {"lingarith": "0.1.0", "torch": "2.13.0"},
        "command": "lingarith adapt pt uk fa",
    }
    return Run(facts | about, examples, records, choices, vectors)


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    return build


@pytest.fixture(scope="session")
def run() -> Run:
    return build()


STUDY_KINDS = {BASELINE: "source", ADD: "target", ADD_SUBTRACT: "target", "scaled": "other"}


def build_study(seeds: tuple[int, ...] = (0,), by_source: bool = False, **about: Any) -> Run:
    """A study's run over pt, uk and fa, ten examples each: Add gains 5 in pt, nothing elsewhere; seed k adds k."""
    methods = [BASELINE, ADD_SUBTRACT, "scaled"] if by_source else [BASELINE, ADD, ADD_SUBTRACT, "scaled"]
    sources = ["en", "ru"] if by_source else ["en"]
    examples, records, choices = [], [], []
    for target, (article, reference) in TEXT.items():
        examples += [Example(target, "test", f"t-{i}", article, reference, (), "summaries") for i in range(10)]
        for source, seed, method in product(sources, seeds, methods):
            own: dict[str, Any] = {"task": "summaries", "source": source if by_source else "", "seed": seed}
            weight = None if method == BASELINE else 0.9
            gain = 5.0 if target == "pt" and method in (ADD, ADD_SUBTRACT) else 0.0
            output = "Quake in Shiraz hurts twelve people" if method == BASELINE else reference
            for i in range(10):
                score, kind = 20.0 + i + gain + seed, STUDY_KINDS[method]
                records.append(Record(target, "test", method, weight, f"t-{i}", output, score, kind, **own))
            if weight:
                curve = [(0.0, 1.0), (0.9, 30.0 + gain), (1.0, 30.0)]
                choices.append(Choice(target, method, "oracle", 0.9, 30.0 + gain, "0.9*headlines[en]", curve, **own))
    facts = {
        "title": "A study by hand", "study": {"seeds": list(seeds), "table": "table1"}, "table": "table1",
        "tasks": {"summaries": "ROUGE-2"}, "targets": list(TEXT), "sources": sources, "by_source": by_source,
        "seeds": list(seeds), "methods": {method: METHODS[method] for method in methods}, "reference": BASELINE,
        "tried": methods[1:-1], "against": ["scaled"], "backbone": {"name": "newsroom", "fingerprint": "5be1c0ffee"},
        "protocol": "oracle", "protocols": ["oracle"], "data": {f"summaries/{target}": "3f2a" * 16 for target in TEXT},
        "score": {"summaries": dict.fromkeys(TEXT, "ROUGE-2 over pieces")}, "notes": [], "command": "lingarith run x",
        "fixed": [
            {"task": "summaries", "target": t, "method": BASELINE, "source": "", "seed": 0, "expression": "x[en]"}
            for t in TEXT
        ],
    }  # fmt: skip
    origin = {"data": {"fingerprint": "91c0" * 16}, "seed": 0, "options": {"learning_rate": 0.002}}
    vectors = [
        Ingredient(f"headlines[{source}]", "7a" * 32, 61.5, 1_250_000, 12_000, 400, origin) for source in sources
    ]
    return Run(facts | about, examples, records, choices, vectors)


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Run]:
    return build_study


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[Run, str], Path]:
    """Writes a run into a folder, as its maker would."""

    def write(run: Run, name: str = "a") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(run.about))
        append(folder, [*run.examples, *run.records, *run.choices, *run.ingredients])
        return folder

    return write

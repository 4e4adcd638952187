"""Runs with a known right answer, written by the writer of runs and read back: an adaptation and a study."""

from __future__ import annotations

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
    About,
    Choice,
    Example,
    Fixed,
    Ingredient,
    Record,
    Run,
)
from lingarith.study.run_folder import RunFolder, read_run

TASK = "summaries"
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


def adapted(n: int = 40, protocol: str = "sources", **about: Any) -> Run:
    """An adaptation to pt, uk and fa with ``n`` test examples each; ``about`` overrides its facts."""
    random_state = random.Random(7)
    examples, records, choices = [], [], []
    for target, (article, reference) in TEXT.items():
        examples += [Example(target, "test", f"{target}-{i}", article, reference, task=TASK) for i in range(n)]
        examples.append(Example(target, "validation", f"{target}-v", article, reference, task=TASK))
        base = [random_state.uniform(15, 60) for _ in range(n)]
        for equation in EQUATIONS:
            gain = GAINS[target].get(equation, 0.0)
            for weight in dict.fromkeys((WEIGHTS.get(equation), ORACLE.get(equation))):
                noise = 0.0 if equation == BASELINE else 3.0
                for i, score in enumerate(base):
                    kind = KINDS[(i * 5 + len(equation)) % len(KINDS)]
                    output = {"source": "Quake in Shiraz hurts 12", "empty": "", "copied": article}.get(kind, reference)
                    value = min(100.0, max(0.0, score + gain + random_state.gauss(0, noise)))
                    records.append(Record(target, "test", equation, weight, f"{target}-{i}", output, value, kind, TASK))
        for equation, weight in WEIGHTS.items():
            for by, at in ((protocol, weight), ("oracle", ORACLE[equation])):
                grid = sorted({x / 10 for x in range(11)} | {weight, ORACLE[equation]})
                top = 40 + GAINS[target][equation]
                alone = 0.0 if equation == UNCOUPLED else 1.0
                curve = [(w, 40.0 if w == alone else max(0.0, top - 90 * abs(w - at) ** 1.5)) for w in grid]
                text = FORMULA[equation].format(w=at, v=1 - at, t=target)
                choices.append(Choice(target, equation, by, at, dict(curve)[at], text, curve, TASK))
    vectors = [
        Ingredient(name, f"{i:x}3f0" * 16, 61.5, 1_250_000, 12_000, 400, {"name": name, "seed": 0, "rank": 4})
        for i, name in enumerate(["newsroom[en]", "text[en]", *(f"text[{t}]" for t in TEXT)])
    ]
    facts: dict[str, Any] = {
        "identity": "adapted",
        "title": "Summaries in pt, uk and fa from English labels",
        "table": "adapt",
        "study": {"labels": "newsroom", "text": "newsroom", "prompt": "summarize: {text}", "seeds": [0]},
        "tasks": {TASK: "ROUGE-2"},
        "targets": list(TEXT),
        "sources": ["en"],
        "methods": {method: METHODS[method].full for method in EQUATIONS},
        "tried": [ADD, ADD_SUBTRACT, UNCOUPLED],
        "backbone": {"name": "newsroom", "revision": None, "fingerprint": "5be1c0ffee", "parameters": 3_300_000},
        "adapter": {"kind": "lora", "rank": 4, "alpha": 4},
        "space": "factors",
        "protocol": protocol,
        "protocols": [protocol, "oracle"],
        "score": {TASK: dict.fromkeys(TEXT, "SentencePiece tokens of newsroom.model, sha256 91c0…")},
        "data": {f"{TASK}/{target}": "3f2a" * 16 for target in TEXT},
        "handed_over": HANDED,
        "notes": ["The articles are synthetic, written by machine: a demonstration, no benchmark of any language."],
        "made": {"lingarith": "0.1.0", "torch": "2.13.0"},
        "command": "lingarith adapt pt uk fa",
    }
    return Run(About(**facts | about), examples, records, choices, vectors)


STUDY_KINDS = {BASELINE: "source", ADD: "target", ADD_SUBTRACT: "target", "scaled": "other"}


def studied(seeds: tuple[int, ...] = (0,), by_source: bool = False, **about: Any) -> Run:
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
    facts: dict[str, Any] = {
        "identity": f"study {seeds} {by_source}",
        "title": "A study by hand",
        "table": "table1",
        "study": {"seeds": list(seeds), "labels": "newsroom", "text": "newsroom"},
        "tasks": {TASK: "ROUGE-2"},
        "targets": list(TEXT),
        "sources": sources,
        "seeds": list(seeds),
        "methods": {method: METHODS[method].full for method in methods},
        "tried": methods[1:-1],
        "against": ["scaled"],
        "by_source": by_source,
        "fixed": [Fixed(TASK, target, BASELINE, "", seed, "x[en]") for target in TEXT for seed in seeds],
        "backbone": {"name": "newsroom", "fingerprint": "5be1c0ffee"},
        "protocol": "oracle",
        "protocols": ["oracle"],
        "score": {TASK: dict.fromkeys(TEXT, "ROUGE-2 over pieces")},
        "data": {f"{TASK}/{target}": "3f2a" * 16 for target in TEXT},
        "command": "lingarith run x",
    }
    origin = {"data": {"fingerprint": "91c0" * 16}, "seed": 0, "options": {"learning_rate": 0.002}}
    vectors = [
        Ingredient(f"headlines[{source}]", "7a" * 32, 61.5, 1_250_000, 12_000, 400, origin) for source in sources
    ]
    return Run(About(**facts | about), examples, records, choices, vectors)


Build, Write = Callable[..., Run], Callable[..., Path]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Writes a run into a folder of a name, as its maker would."""

    def write(run: Run, name: str = "a") -> Path:
        folder = RunFolder(tmp_path_factory.mktemp("runs") / name)
        folder.open(run.about)
        folder.add([*run.examples, *run.records, *run.choices, *run.ingredients])
        return folder.path

    return write


@pytest.fixture(scope="session")
def make_run(folder_of: Write) -> Build:
    return lambda *given, **about: read_run(folder_of(adapted(*given, **about)), whole=True)


@pytest.fixture(scope="session")
def make_study(folder_of: Write) -> Build:
    return lambda *given, **about: read_run(folder_of(studied(*given, **about)), whole=True)


@pytest.fixture(scope="session")
def run(make_run: Build) -> Run:
    return make_run()

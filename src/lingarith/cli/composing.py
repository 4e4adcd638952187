"""``lingarith compose``, ``inspect``, ``choose``, ``evaluate`` and ``generate``: vectors that exist, put to use."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..algebra import parse
from ..disk.files import write_atomically
from ..errors import LingarithError
from ..study.study import ADAPT, Study, study_of
from .flags import flags
from .opening import (
    DEFAULT_STORE,
    TYPED,
    Json,
    StorePlace,
    command,
    open_lab,
    open_store,
    print_json,
    print_table,
    say,
    warn,
)
from .progress import shown
from .terminal import console, tell

if TYPE_CHECKING:
    from ..store.store import Store
    from ..vectors.composition import Composition

Expression = Annotated[
    str, typer.Argument(metavar="EXPRESSION", help="Such as '0.6\\*xlsum[en] + 0.4\\*(mc4[pt] - mc4[en])'.")
]


def study_typed(given: dict[str, Any], **more: Any) -> Study:
    """The options of a command that is no study, as those of one."""
    return study_of("typed", ADAPT, given | more, TYPED)


def composed(expression: str, given: dict[str, Any], shelf: Store) -> tuple[Composition, dict[str, str]]:
    """A composition of vectors that stay on the disk until they are asked for, and the hash of each."""
    from ..vectors.composition import compose

    combination = parse(expression)
    parents = {name: shelf.resolve(name) for name in combination.names}
    vectors = {name: shelf.objects.open(digest, name.partition("@")[0]) for name, digest in parents.items()}
    return compose(combination, vectors, study_typed(given).sums.value), parents


def lost(composition: Composition) -> str:
    """What a space lost of the exact sum, as it ends a sentence; nothing where it lost nothing."""
    by = "cut" if composition.space.rank else "projection on the terms' own spaces"
    return f", {composition.error:.2%} of it lost by the {by}" if composition.error else ""


@flags("sums")
def compose(
    expression: Expression,
    given: dict[str, Any],
    out: Annotated[Path | None, typer.Option("--out", help="Write the adapter to this folder, for PEFT.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Put the adapter into the store under this name.")] = None,
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Add and subtract vectors of the store; the backbone is not needed.

    `lingarith compose '0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])' --space delta --rank-out 8 --out adapter-pt`
    """
    from ..formats.folders import task_type_of
    from ..formats.gguf import elsewhere
    from ..formats.peft import write_peft

    shelf = open_store(store)
    composition, parents = composed(expression, given, shelf)
    combination = composition.combination
    vector = composition.vector(name or str(combination), parents)
    facts: dict[str, Any] = {}
    if name:
        facts["hash"] = shelf.put(vector, late=lambda: {"error": composition.error})
    if out:
        (base, warning), task_type = elsewhere(vector.origin["backbone"]), task_type_of(composition.paths)
        write_peft(
            composition, out, base_model=base, task_type=task_type, origin={**vector.origin, "command": command()}
        )
        facts["folder"] = str(out)
    if as_json:
        facts |= {"expression": str(combination), "space": str(composition.space), "adapter": vector.adapter}
        print_json(facts | {"norm": composition.norm, "error": composition.error, "parents": parents})
        return
    tell(f"{combination}\nin {composition.space}: {vector.adapter}, |ΔW| {composition.norm:.4g}{lost(composition)}")
    if name:
        tell(f"stored as {name} ({facts['hash'][:12]})")
    if out:
        tell(f"written to {out} for PEFT")
        warn(warning)


@flags("sums")
def inspect(
    expression: Expression,
    given: dict[str, Any],
    methods: Annotated[
        bool, typer.Option("--methods", help="Compare the ways to merge (--method), not the spaces.")
    ] = False,
    per_module: Annotated[bool, typer.Option("--per-module", help="A line for each projection too.")] = False,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write a page with heat maps to this file.", dir_okay=False)
    ] = None,
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """What a composition really does in each space, or in the one that is named, from the vectors alone.

    `lingarith inspect '0.6*headlines[en] + 0.4*(news[pt] - news[en])' --page inspection.html`
    """
    from ..adapters.merging import MERGINGS, Merging
    from ..inspection.measure import inspect as measured
    from ..report.heat_maps import page as drawn
    from ..report.inspected import as_text, facts
    from ..vectors.composition import SPACES, Space

    combination = parse(expression)
    shelf = open_store(store)
    vectors = {name: shelf.open(name) for name in combination.names}
    spaces = [] if {"space", "merging"} & {*given} else [Space(name) for name in SPACES]
    if methods:
        spaces = [Space("delta", merging=Merging.of(name)) for name in MERGINGS]
    if given:
        spaces.append(study_typed({"space": "delta"} | given).sums.value)
    inspection = measured(combination, vectors, spaces)
    if page is not None:
        write_atomically(page, drawn(inspection))
    if as_json:
        print_json(facts(inspection))
        return
    console().print(as_text(inspection, per_module=per_module))
    if page is not None:
        tell(f"heat maps in {page}")


@flags(
    "sources", "related", "data", "backbone", "sums", "choice", "writing",
    without=("train_limit", "test_limit", "named_prompt", "learning_rates", "controls", "retention"),
)  # fmt: skip
def choose(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The language to compose for.")],
    given: dict[str, Any],
    equation: Annotated[
        str, typer.Option("--equation", help="add (Eq. 1), add_subtract (Eq. 2, 4) or uncoupled.")
    ] = "add_subtract",
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """The weight (λ or β) of an equation for TARGET, from vectors that are in the store.

    `lingarith choose pt --equation add_subtract --choose-by unlabelled`
    """
    from ..report.words import plain_weight, symbol
    from ..study.lines import choice
    from ..study.outputs import Stored
    from ..study.study import READ_TASK
    from ..study.weights import LOSS, UNLABELLED

    with shown() as progress:
        lab = open_lab(study_typed(given, targets=[target]), store, progress, trains=False)
        chosen = choice(lab, Stored(lab), equation)
    if as_json:
        print_json(asdict(chosen) | {"notes": list(lab.notes)})
        return
    top, rows = max(value for _, value in chosen.curve) or 1.0, []
    for weight, value in chosen.curve:
        bar = "█" * round(24 * value / top) + (" ← chosen" if weight == chosen.weight else "")
        rows.append([plain_weight(weight), f"{value:.2f}", bar])
    judged = chosen.task + (READ_TASK if lab.study.choice.search == LOSS else "")
    metric = "Value" if chosen.protocol == UNLABELLED else lab.scoring(judged).metric.name
    print_table([symbol(equation), metric, ""], rows)
    say([f"{target}, protocol '{chosen.protocol}': {chosen.expression}", *lab.notes])


@flags(
    "data", "backbone", "sums", "writing", "score_model",
    without=("text", "plain_field", "characters", "train_limit", "named_prompt"),
)  # fmt: skip
def evaluate(
    expression: Expression,
    lang: Annotated[str, typer.Argument(metavar="LANG", help="The language of the examples.")],
    given: dict[str, Any],
    split: Annotated[str, typer.Option(help="validation or test.")] = "test",
    baseline: Annotated[str | None, typer.Option(help="An expression to compare with, on the same examples.")] = None,
    records: Annotated[Path | None, typer.Option(help="Write one JSON line for each example to this file.")] = None,
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """The score of a composition on labelled examples, with its interval, and what kind of text came out.

    `lingarith evaluate 'xlsum[en] + 0.4*(mc4[pt] - mc4[en])' pt --baseline 'xlsum[en]'`
    """
    from ..study.evaluate import evaluate as evaluation

    first, second = parse(expression), None if baseline is None else parse(baseline)
    with shown() as progress:
        lab = open_lab(study_typed(given, targets=[lang]), store, progress, trains=False)
        measured = evaluation(lab, first, lang, split, second)
    say(lab.notes, stderr=True)
    if records:
        lines = (json.dumps(asdict(outcome), ensure_ascii=False) + "\n" for outcome in measured.outcomes)
        write_atomically(records, "".join(lines))
    if as_json:
        print_json({key: value for key, value in vars(measured).items() if key != "outcomes"})
        return
    low, high = measured.interval
    tell(
        f"{measured.expression} in {measured.space}, {measured.language} {measured.split}, {measured.examples} examples"
    )
    tell(f"{measured.metric} {measured.score:.1f} (95 % interval {low:.1f} to {high:.1f}); {measured.scoring}")
    for name, value in measured.beside.items():
        tell(f"{name} {value:.1f}")
    if measured.kinds:
        tell("outputs: " + ", ".join(f"{share:.0%} {kind}" for kind, share in measured.kinds.items() if share))
    if one := measured.against:
        low, high = one.interval
        against = f"against {one.expression} ({one.score:.1f}): {one.gain:+.1f} "
        tell(f"{against}(95 % interval {low:+.1f} to {high:+.1f}, p = {one.p:.2g})")


@flags("tasks", "fields", "prompt", "chat", "backbone", "sums", "writing")
def generate(
    expression: Expression,
    given: dict[str, Any],
    text: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]…", help="Articles; without them, lines of stdin.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Articles from a .txt, .jsonl, .csv or .parquet file.")
    ] = None,
    lang: Annotated[str, typer.Option("--lang", help="The language, for prompts that name it.")] = "",
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """What the backbone writes with a composition on it: one line for each article, a blank one for a blank one.

    `lingarith generate '0.9*headlines[en] + 0.1*(news[pt] - news[en])' "Uma ponte nova foi aberta …"`
    """
    from ..study.evaluate import asked, write
    from ..unicode import blank

    combination, study = parse(expression), study_typed(given)
    texts = [] if file else text or _lines_of_stdin()
    with shown() as progress:
        lab = open_lab(study, store, progress, trains=False)
        inputs = asked(lab, lang, texts, file)
        written = iter(write(lab, combination, [read for article, read in inputs if not blank(article)]))
    say(lab.notes, stderr=True)
    # Whoever pairs lines with lines needs one for a blank article too.
    outputs = ["" if blank(article) else next(written) for article, _ in inputs]
    if as_json:
        print_json([{"input": article, "output": output} for (article, _), output in zip(inputs, outputs, strict=True)])
    else:
        tell("\n".join(" ".join(output.splitlines()) for output in outputs))


def _lines_of_stdin() -> list[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")  # as all data, whatever the locale
    try:
        return [line.lstrip("\ufeff").strip() for line in sys.stdin]
    except UnicodeDecodeError as problem:
        raise LingarithError(f"standard input is not UTF-8 ({problem.reason}); convert it first") from None

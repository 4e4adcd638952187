"""``lingarith compose``, ``choose``, ``evaluate`` and ``generate``: vectors that exist, put to use."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..study.study import ADAPT, Study, study_of
from .flags import flags
from .opening import DEFAULT_STORE, TYPED, Json, StorePlace, open_lab, open_store, print_json, print_table, say
from .progress import shown

if TYPE_CHECKING:
    from ..store.store import Store
    from ..study.evaluate import Evaluation
    from ..vectors.composition import Composition

Expression = Annotated[
    str, typer.Argument(metavar="EXPRESSION", help="Such as '0.6\\*xlsum[en] + 0.4\\*(mc4[pt] - mc4[en])'.")
]


def study_typed(given: dict[str, Any], **more: Any) -> Study:
    """The options of a command that is no study, as those of one."""
    return study_of("typed", ADAPT, given | more, TYPED)


def composed(expression: str, given: dict[str, Any], shelf: Store) -> tuple[Composition, dict[str, str]]:
    """A composition of vectors that stay on the disk until they are asked for, and the hash of each."""
    from ..algebra import parse
    from ..vectors.composition import compose

    combination = parse(expression)
    vectors = {name: shelf.open(name) for name in combination.names}
    composition = compose(combination, vectors, study_typed(given).sums.value)
    return composition, {name: shelf.resolve(name) for name in combination.names}


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
    from ..formats.peft import write_peft

    shelf = open_store(store)
    composition, parents = composed(expression, given, shelf)
    combination = composition.combination
    vector = composition.vector(name or str(combination), parents)
    facts: dict[str, Any] = {}
    if name:
        facts["hash"] = shelf.put(vector, late=lambda: {"error": composition.error})
    if out:
        base, task_type = str(vector.origin["backbone"]["name"]), task_type_of(composition.paths)
        write_peft(composition, out, base_model=base, task_type=task_type, origin=vector.origin)
        facts["folder"] = str(out)
    facts |= {
        "expression": str(combination), "space": str(composition.space), "adapter": vector.adapter,
        "norm": composition.norm, "error": composition.error, "parents": parents,
    }  # fmt: skip
    if as_json:
        print_json(facts)
        return
    lost = f", {facts['error']:.2%} of it lost by the cut" if facts["error"] else ""
    print(f"{combination}\nin {composition.space}: {vector.adapter}, |ΔW| {facts['norm']:.4g}{lost}")
    if name:
        print(f"stored as {name} ({facts['hash'][:12]})")
    if out:
        print(f"written to {out} for PEFT")


@flags("languages", "data", "backbone", "sums", "choice", "writing", "seeds", without=("learning_rates", "controls"))
def choose(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The language to compose for.")],
    given: dict[str, Any],
    method: Annotated[
        str, typer.Option("--method", "--equation", help="add (Eq. 1), add_subtract (Eq. 2, 4) or uncoupled.")
    ] = "add_subtract",
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """The weight (λ or β) of an equation for TARGET, from vectors that are in the store.

    `lingarith choose pt --method add_subtract --choose-by unlabelled`
    """
    from ..report.words import plain_weight, symbol
    from ..study.lines import choice
    from ..study.outputs import Stored
    from ..study.weights import UNLABELLED

    with shown() as progress:
        lab = open_lab(study_typed(given, targets=[target]), store, progress, trains=False)
        made = choice(lab, Stored(lab), method)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(made) | {"notes": list(lab.notes)})
        return
    top = max(value for _, value in made.curve) or 1.0
    rows = [
        [plain_weight(weight), f"{value:.2f}", "█" * round(24 * value / top) + " ← chosen" * (weight == made.weight)]
        for weight, value in made.curve
    ]
    metric = "Value" if made.protocol == UNLABELLED else lab.scoring(made.task).metric.name
    print_table([symbol(method), metric, ""], rows)
    say([f"{target}, protocol '{made.protocol}': {made.expression}", *lab.notes])


@flags("data", "backbone", "sums", "writing", "score_model", without=("text", "plain_field", "characters"))
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
    from dataclasses import asdict

    from ..algebra import parse
    from ..disk.files import write_atomically
    from ..study.evaluate import evaluate as evaluated

    first, second = parse(expression), parse(baseline) if baseline else None
    with shown() as progress:
        lab = open_lab(study_typed(given, targets=[lang]), store, progress, trains=False)
        found = evaluated(lab, first, lang, split, second)
    if records:
        lines = (json.dumps(asdict(outcome), ensure_ascii=False) + "\n" for outcome in found.outcomes)
        write_atomically(records, "".join(lines))
    if as_json:
        print_json({key: value for key, value in asdict(found).items() if key != "outcomes"})
    else:
        _print_evaluation(found)


def _print_evaluation(found: Evaluation) -> None:
    low, high = found.interval
    print(f"{found.expression} in {found.space}, {found.language} {found.split}, {found.examples} examples")
    print(f"{found.metric} {found.score:.1f} (95 % interval {low:.1f} to {high:.1f}); {found.scoring}")
    for name, value in found.beside.items():
        print(f"{name} {value:.1f}")
    if found.kinds:
        print("outputs: " + ", ".join(f"{share:.0%} {kind}" for kind, share in found.kinds.items() if share))
    if one := found.against:
        print(
            f"against {one.expression} ({one.score:.1f}): {one.gain:+.1f} "
            f"(95 % interval {one.interval[0]:+.1f} to {one.interval[1]:+.1f}, p = {one.p:.2g})"
        )


@flags("tasks", "fields", "prompt", "backbone", "sums", "writing")
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
    """What the backbone writes with a composition on it: one line for each article.

    `lingarith generate '0.9*headlines[en] + 0.1*(news[pt] - news[en])' "Uma ponte nova foi aberta …"`
    """
    from ..algebra import parse
    from ..study.evaluate import asked, write

    combination, study = parse(expression), study_typed(given)
    inputs = asked(study, lang, [] if file else text or _lines_of_stdin(), file)
    with shown() as progress:
        outputs = write(open_lab(study, store, progress, trains=False), combination, [read for _, read in inputs])
    if as_json:
        print_json([{"input": article, "output": output} for (article, _), output in zip(inputs, outputs, strict=True)])
    else:
        print("\n".join(" ".join(output.splitlines()) for output in outputs))


def _lines_of_stdin() -> list[str]:
    from ..errors import LingarithError

    try:
        return [line.strip() for line in sys.stdin if line.strip()]
    except UnicodeDecodeError as problem:
        raise LingarithError(f"standard input is not UTF-8 ({problem.reason}); convert it first") from None

"""``lingarith compose``, ``choose``, ``evaluate`` and ``generate``: vectors that exist, put to use."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .opening import open_backbone, open_store, print_json
from .progress import shown

if TYPE_CHECKING:
    from ..algebra import Combination
    from ..store.store import Store
    from ..study.evaluate import Bench
    from ..vectors.vector import Vector

Expression = Annotated[
    str, typer.Argument(metavar="EXPRESSION", help="Such as '0.6\\*xlsum[en] + 0.4\\*(mc4[pt] - mc4[en])'.")
]


def _vectors(store: Store, names: tuple[str, ...], backbone: str | None) -> dict[str, Vector]:
    return {name: store.get(name, backbone) for name in names}


def _check_rank(bench: Bench, combination: Combination) -> None:
    """Refuse a rank above that of the exact sum; the empty combination, the bare backbone, has none."""
    from ..vectors.composed import Composed
    from ..vectors.realise import Composition, Space

    if combination.names:
        Composed(Composition(combination, bench.vectors, Space.of(bench.space))).check_rank()


def compose(
    expression: Expression,
    space: o.Space = "factors",
    rank_out: o.Rank = None,
    kronecker_out: o.KroneckerOut = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the adapter to this folder, for PEFT.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Put the adapter into the store under this name.")] = None,
    store: o.StorePlace = o.DEFAULT_STORE,
    as_json: o.Json = False,
) -> None:
    """Add and subtract vectors of the store; the backbone is not needed.

    `lingarith compose '0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])' --space delta --rank-out 8 --out adapter-pt`
    """
    from ..algebra import parse
    from ..formats.peft import task_type_of, write_peft
    from ..vectors.composed import Composed
    from ..vectors.realise import Composition

    combination = parse(expression)
    shelf = open_store(store)
    vectors = {n: shelf.open(n) for n in combination.names}
    composition = Composition(combination, vectors, o.space_of(space, rank_out, kronecker_out))
    made = Composed(composition)
    made.check_rank()
    parents = {n: shelf.resolve(n) for n in combination.names}
    vector = made.vector(name or str(combination), parents)
    facts: dict[str, Any] = {}
    if name:
        facts["hash"] = shelf.put(vector, late=lambda: {"error": made.error})
    if out:
        base, task_type = str(vector.origin["backbone"]["name"]), task_type_of(composition.paths)
        write_peft(composition, out, base_model=base, task_type=task_type, origin=vector.origin)
        facts["folder"] = str(out)
    facts |= {
        "expression": str(combination), "space": str(composition.space), "adapter": vector.adapter, "norm": made.norm,
        "error": made.error, "parents": parents,
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


def choose(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The language to compose for.")],
    source: Annotated[
        list[str] | None, typer.Option("--source", help="A language with labels; may be repeated.")
    ] = None,
    equation: Annotated[str, typer.Option(help="add (Eq. 1), add_subtract (Eq. 2, 4) or uncoupled.")] = "add_subtract",
    by: Annotated[str, typer.Option("--choose-by", help="oracle, sources or unlabelled.")] = "oracle",
    search: o.Search = "grid",
    task: o.TaskData = "newsroom",
    text: o.PlainData = "newsroom",
    text_field: o.TextField = "text",
    plain_field: o.PlainField = "text",
    summary_field: o.SummaryField = "summary",
    prompt: o.Prompt = "summarize: {text}",
    limit: o.Limit = None,
    backbone: o.BackboneName = "newsroom",
    store: o.StorePlace = o.DEFAULT_STORE,
    space: o.Space = "factors",
    rank_out: o.Rank = None,
    kronecker_out: o.KroneckerOut = None,
    max_input: o.MaxInput = None,
    max_output: o.MaxOutput = None,
    beams: o.Beams = 1,
    generate_batch: o.GenerateBatch = 64,
    score_model: o.ScoreModel = None,
    seed: o.Seed = 0,
    dtype: o.Precision = "auto",
    bits: o.Bits = None,
    device_map: o.DeviceMap = None,
    as_json: o.Json = False,
) -> None:
    """The weight (λ or β) of an equation for TARGET, from vectors that are in the store.

    `lingarith choose pt --equation add_subtract --choose-by unlabelled`
    """
    from dataclasses import replace

    from ..study.plan import AdaptOptions, defaults
    from ..study.weigh import weigh

    base: AdaptOptions = defaults(backbone)
    decoding = o.changed(
        base.decoding, beams=beams, batch_size=generate_batch, max_input=max_input, max_output=max_output
    )
    options = replace(
        base, task=task, text=text, sources=tuple(source or ["en"]), text_field=text_field, plain_field=plain_field,
        summary_field=summary_field, prompt=prompt, space=o.space_of(space, rank_out, kronecker_out),
        protocol=by, search=search, decoding=decoding, score_model=score_model, seed=seed,
        validation_limit=base.validation_limit if limit is None else limit,
    )  # fmt: skip
    model, shelf = open_backbone(backbone, dtype, bits, device_map), open_store(store)
    with shown() as progress:
        made, notes = weigh(target, equation, model, shelf, options, progress=progress)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(made) | {"notes": notes})
        return
    from rich.console import Console
    from rich.table import Table

    symbol = "β" if equation == "uncoupled" else "λ"
    table = Table(symbol, "ROUGE-2" if made.protocol != "unlabelled" else "Value", "", box=None, pad_edge=False)
    top = max(value for _, value in made.curve) or 1.0
    for weight, value in made.curve:
        mark = " ← chosen" if weight == made.weight else ""
        table.add_row(f"{weight:g}", f"{value:.2f}", "█" * round(24 * value / top) + mark)
    console = Console()
    console.print(table)
    for sentence in (f"{target}, protocol '{made.protocol}': {made.expression}", *notes):
        console.print(sentence, markup=False, highlight=False)


def evaluate(
    expression: Expression,
    lang: Annotated[str, typer.Argument(metavar="LANG", help="The language of the examples.")],
    split: Annotated[str, typer.Option(help="validation or test.")] = "test",
    task: o.TaskData = "newsroom",
    text_field: o.TextField = "text",
    summary_field: o.SummaryField = "summary",
    prompt: o.Prompt = "summarize: {text}",
    limit: o.Limit = None,
    baseline: Annotated[str | None, typer.Option(help="An expression to compare with, on the same examples.")] = None,
    source: Annotated[list[str] | None, typer.Option("--source", help="What counts as a source language.")] = None,
    records: Annotated[Path | None, typer.Option(help="Write one JSON line for each example to this file.")] = None,
    backbone: o.BackboneName = "newsroom",
    store: o.StorePlace = o.DEFAULT_STORE,
    space: o.Space = "factors",
    rank_out: o.Rank = None,
    kronecker_out: o.KroneckerOut = None,
    max_input: o.MaxInput = None,
    max_output: o.MaxOutput = None,
    beams: o.Beams = 1,
    generate_batch: o.GenerateBatch = 64,
    score_model: o.ScoreModel = None,
    seed: o.Seed = 0,
    dtype: o.Precision = "auto",
    bits: o.Bits = None,
    device_map: o.DeviceMap = None,
    as_json: o.Json = False,
) -> None:
    """ROUGE-2 of a composition on labelled examples, with its interval, and what kind of text came out.

    `lingarith evaluate 'xlsum[en] + 0.4*(mc4[pt] - mc4[en])' pt --baseline 'xlsum[en]'`
    """
    from dataclasses import asdict, replace

    from ..algebra import parse
    from ..disk.files import write_atomically
    from ..scores.output import shares
    from ..scores.resample import bootstrap_difference, bootstrap_interval, paired_test
    from ..study.evaluate import Bench, mean
    from ..study.plan import Reading, defaults

    first, second = parse(expression), parse(baseline) if baseline else None
    base = defaults(backbone)
    options = replace(base, task=task, text_field=text_field, summary_field=summary_field, prompt=prompt, seed=seed)
    shelf = open_store(store)
    with shown() as progress:
        data = Reading(options, shelf.folder / "text", progress).labelled(lang, split, limit)
    model = open_backbone(backbone, dtype, bits, device_map)
    names = tuple(dict.fromkeys((*first.names, *(second.names if second else ()))))
    decoding = o.changed(
        base.decoding, beams=beams, batch_size=generate_batch, max_input=max_input, max_output=max_output
    )
    bench = Bench(
        model,
        _vectors(shelf, names, model.fingerprint),
        o.space_of(space, rank_out, kronecker_out),
        decoding,
        score_model,
        tuple(source or ["en"]),
    )
    _check_rank(bench, first)
    with shown() as progress:
        size = len(data.examples)
        outcomes = bench.outcomes(first, data, lambda done: progress(f"evaluating on {lang}", done, size))
        others = (
            bench.outcomes(second, data, lambda done: progress(f"baseline on {lang}", done, size)) if second else None
        )
    scores = [outcome.score for outcome in outcomes]
    facts: dict[str, Any] = {
        "expression": str(first), "space": space, "language": lang, "split": split, "examples": size,
        "score": mean(outcomes), "interval": bootstrap_interval(scores),
        "kinds": shares([outcome.kind for outcome in outcomes]), "scoring": bench.scoring(lang),
    }  # fmt: skip
    if second and others:
        before = [outcome.score for outcome in others]
        facts |= {
            "baseline": str(second), "baseline_score": mean(others), "gain": mean(outcomes) - mean(others),
            "gain_interval": bootstrap_difference(scores, before), "p": paired_test(scores, before),
        }  # fmt: skip
    if records:
        write_atomically(records, "".join(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in outcomes))
    if as_json:
        print_json(facts)
        return
    _print_evaluation(facts)


def _print_evaluation(facts: dict[str, Any]) -> None:
    """The facts of :func:`evaluate` in a few lines."""
    low, high = facts["interval"]
    print("{expression} in {space}, {language} {split}, {examples} examples".format_map(facts))
    print(f"ROUGE-2 {facts['score']:.1f} (95 % interval {low:.1f} to {high:.1f}); {facts['scoring']}")
    print("outputs: " + ", ".join(f"{share:.0%} {kind}" for kind, share in facts["kinds"].items() if share))
    if "baseline" in facts:
        below, above = facts["gain_interval"]
        print(
            f"against {facts['baseline']} ({facts['baseline_score']:.1f}): {facts['gain']:+.1f} "
            f"(95 % interval {below:+.1f} to {above:+.1f}, p = {facts['p']:.2g})"
        )


def _lines_of_stdin() -> list[str]:
    from ..errors import LingarithError

    try:
        return [line.strip() for line in sys.stdin if line.strip()]
    except UnicodeDecodeError as problem:
        raise LingarithError(f"standard input is not UTF-8 ({problem.reason}); convert it first") from None


def generate(
    expression: Expression,
    text: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]…", help="Articles; without them, lines of stdin.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Articles from a .txt, .jsonl, .csv or .parquet file.")
    ] = None,
    text_field: o.TextField = "text",
    prompt: o.Prompt = "summarize: {text}",
    backbone: o.BackboneName = "newsroom",
    store: o.StorePlace = o.DEFAULT_STORE,
    space: o.Space = "factors",
    rank_out: o.Rank = None,
    kronecker_out: o.KroneckerOut = None,
    max_input: o.MaxInput = None,
    max_output: o.MaxOutput = None,
    beams: o.Beams = 1,
    generate_batch: o.GenerateBatch = 64,
    dtype: o.Precision = "auto",
    bits: o.Bits = None,
    device_map: o.DeviceMap = None,
    as_json: o.Json = False,
) -> None:
    """What the backbone writes with a composition on it: one line for each article.

    `lingarith generate '0.9*headlines[en] + 0.1*(news[pt] - news[en])' "Uma ponte nova foi aberta …"`
    """
    from ..algebra import parse
    from ..errors import LingarithError
    from ..model.generate import generate as write
    from ..study.evaluate import Bench
    from ..study.plan import defaults
    from ..text.rows import place, read_rows, text_of

    combination = parse(expression)
    if file:
        articles = [text_of(row, text_field, place(file, number)) for number, row in read_rows(file)]
    else:
        articles = text or _lines_of_stdin()
    if not articles:
        raise LingarithError("there is no article; give texts, --file, or lines on standard input")
    if "{text}" not in prompt:
        raise LingarithError(f"the prompt {prompt!r} has no place for the article; write {{text}} where it goes")
    model, shelf = open_backbone(backbone, dtype, bits, device_map), open_store(store)
    decoding = o.changed(
        defaults(backbone).decoding, beams=beams, batch_size=generate_batch, max_input=max_input, max_output=max_output
    )
    bench = Bench(
        model, _vectors(shelf, combination.names, model.fingerprint), o.space_of(space, rank_out, kronecker_out)
    )
    _check_rank(bench, combination)
    with model.using(bench.update(combination)), shown() as progress:
        inputs = [prompt.replace("{text}", article) for article in articles]
        outputs = write(model, inputs, decoding, watch=lambda done: progress("writing", done, len(inputs)))
    if as_json:
        print_json([{"input": article, "output": output} for article, output in zip(articles, outputs, strict=True)])
    else:
        print("\n".join(outputs))

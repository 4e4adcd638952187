"""``lingarith demo`` and ``lingarith adapt``: the main job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .opening import open_backbone, open_store, print_json
from .progress import duration, shown

if TYPE_CHECKING:
    from ..model.backbone import Backbone
    from ..store.store import Store
    from ..study.plan import Plan
    from ..study.records import Run

DEMO_TARGETS = ["pt", "uk", "fa"]
DEMO_NOTES = (
    "The newsroom is synthetic newswire written by a program in real languages: it shows and tests the method "
    "and is no benchmark of any language.",
)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where the adapters and the report go.")] = Path("lingarith-demo"),
    store: o.StorePlace = o.DEFAULT_STORE,
    space: o.Space = "factors",
    seed: o.Seed = 0,
    as_json: o.Json = False,
) -> None:
    """The method whole, in minutes: English labels, plain text of four languages, three adapters.

    It is `lingarith adapt pt uk fa` on the embedded newsroom. Run again, it takes what exists.
    """
    from dataclasses import replace

    from ..study.plan import defaults, plan

    base = defaults("newsroom")
    options = replace(base, space=o.space_of(space, None, None), seed=seed)
    vectors = open_store(store)
    with shown() as progress:
        what = plan(DEMO_TARGETS, options, vectors, progress=progress)
    model = open_backbone("newsroom")
    if not as_json:
        print(
            "Labels in English, plain text in English, Portuguese, Ukrainian and Persian: one task vector and four "
            "language vectors, added and subtracted.\n" + DEMO_NOTES[0],
            file=sys.stderr,
        )
    # One vector in a pass: how many do best is measured, and rounds otherwise from machine to machine.
    run = _adapt(what, model, vectors, out, as_json, DEMO_NOTES, together=1)
    if not as_json:
        _side_by_side(run)
        _where(run, out)


def adapt(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET…", help="Languages without labels: pt yo zh")],
    source: Annotated[
        list[str] | None, typer.Option("--source", help="A language with labels; may be repeated.")
    ] = None,
    related: Annotated[
        bool, typer.Option("--related", help="For each target, only the sources that URIEL calls related (Eq. 3, 4).")
    ] = False,
    task: o.TaskData = "newsroom",
    text: o.PlainData = "newsroom",
    text_field: o.TextField = "text",
    plain_field: o.PlainField = "text",
    summary_field: o.SummaryField = "summary",
    prompt: o.Prompt = "summarize: {text}",
    characters: o.Characters = 2_000_000,
    limit: o.Limit = None,
    validation_limit: Annotated[int | None, typer.Option(help="Validation examples of a language, at most.")] = None,
    test_limit: Annotated[int | None, typer.Option(help="Test examples of a language, at most.")] = None,
    backbone: o.BackboneName = "newsroom",
    store: o.StorePlace = o.DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", help="Where the adapters and the report go.")] = Path("adapted"),
    space: o.Space = "factors",
    rank_out: o.Rank = None,
    kronecker_out: o.KroneckerOut = None,
    choose_by: Annotated[
        str,
        typer.Option(
            "--choose-by", help="How λ is chosen: oracle, sources, unlabelled, or what the data allow (auto)."
        ),
    ] = "auto",
    search: o.Search = "grid",
    steps: o.Steps = None,
    batch_size: o.BatchSize = None,
    learning_rate: o.LearningRate = None,
    language_steps: Annotated[int | None, typer.Option(help="Steps of a language vector, if others.")] = None,
    language_learning_rate: Annotated[float | None, typer.Option(help="Its learning rate, if another.")] = None,
    rank: o.LoraRank = None,
    alpha: o.Alpha = None,
    kronecker: o.KroneckerSize = None,
    max_input: o.MaxInput = None,
    max_target: o.MaxTarget = None,
    accumulation: o.Accumulation = 1,
    precision: o.TrainPrecision = "auto",
    activation_checkpointing: o.Checkpointing = False,
    init_seed: o.InitSeed = 0,
    together: o.Together = None,
    beams: o.Beams = 1,
    max_output: o.MaxOutput = None,
    generate_batch: o.GenerateBatch = 64,
    score_model: o.ScoreModel = None,
    seed: o.Seed = 0,
    dtype: o.Precision = "auto",
    bits: o.Bits = None,
    device_map: o.DeviceMap = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the steps, what exists, and the estimated time.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """An adapter for each TARGET from labels in the sources and plain text of both.

    Trains the vectors that the store lacks, adds and subtracts them, chooses λ, tests, and says
    whether it helped.

    `lingarith adapt pt yo -b google/mt5-base --task 'summ/{language}/{split}.jsonl' --text 'plain/{language}.txt'`
    """
    from dataclasses import replace

    from ..study.plan import defaults, plan

    base = defaults(backbone)
    common = {
        "adapter": o.adapter_of(rank, alpha, kronecker), "batch_size": batch_size, "max_input": max_input,
        "max_target": max_target, "accumulation": accumulation, "precision": precision,
        "activation_checkpointing": activation_checkpointing, "seed": seed, "init_seed": init_seed,
    }  # fmt: skip
    language_rate = learning_rate if language_learning_rate is None else language_learning_rate
    options = replace(
        base,
        task=task, text=text, sources=tuple(source or ["en"]), related=related, text_field=text_field,
        plain_field=plain_field, summary_field=summary_field, prompt=prompt,
        space=o.space_of(space, rank_out, kronecker_out), protocol=choose_by, search=search, train_limit=limit,
        decoding=o.changed(
            base.decoding, beams=beams, batch_size=generate_batch, max_input=max_input, max_output=max_output
        ),
        validation_limit=base.validation_limit if validation_limit is None else validation_limit, test_limit=test_limit,
        text_characters=characters, score_model=score_model, seed=seed,
        task_training=o.changed(base.task_training, steps=steps, learning_rate=learning_rate, **common),
        language_training=o.changed(
            base.language_training,
            steps=steps if language_steps is None else language_steps, learning_rate=language_rate, **common,
        ),
    )  # fmt: skip
    vectors = open_store(store)
    with shown() as progress:  # what is wrong with the data is said before a large model is loaded
        what = plan(targets, options, vectors, progress=progress)
    model = open_backbone(backbone, dtype, bits, device_map)
    if dry_run:
        _dry_run(what, model, vectors, as_json)
        return
    notes = DEMO_NOTES if "newsroom" in (task, text) else ()
    run = _adapt(what, model, vectors, out, as_json, notes, together)
    if not as_json:
        _where(run, out)


def _adapt(
    what: Plan,
    backbone: Backbone,
    store: Store,
    out: Path,
    as_json: bool,
    notes: tuple[str, ...],
    together: int | None = None,
) -> Run:
    """Run, write the report, print the table and the verdict."""
    from ..report.files import write_report
    from ..report.results import results
    from ..report.table import as_json as rows_as_json
    from ..report.table import as_text
    from ..study.adapt import adapt as run_adapt

    with shown() as progress:
        command = " ".join(["lingarith", *sys.argv[1:]])
        run = run_adapt(
            what.targets, backbone, store, out, what.options,
            progress=progress, command=command, notes=notes, what=what, together=together,
        )  # fmt: skip
    found = results(run)
    write_report({out.name: found}, out)
    if as_json:
        print(rows_as_json(found.rows))
        return run
    from rich.console import Console

    console = Console()
    console.print(as_text(found.rows))
    for sentence in (found.said, *what.notes):
        console.print(sentence, markup=False, highlight=False)
    return run


def _side_by_side(run: Run) -> None:
    from rich.console import Console
    from rich.text import Text

    from ..report.examples import examples

    console = Console()
    for target in run.about["targets"]:
        for shown_example in examples(run, target, 1):
            console.print(Text(f"\n{target}  {shown_example.example.id}", style="bold"))
            console.print(Text(f"  {'Reference':<18} {shown_example.example.reference}"))
            for output in shown_example.outputs:
                console.print(Text(f"  {output.label:<18} {output.text}  ({output.score:.0f})"))


def _where(run: Run, out: Path) -> None:
    print(f"\nadapters: {', '.join(str(out / target) for target in run.about['targets'])} (load them with PEFT)")
    print(f"report:   {out / 'report.html'}")


def _dry_run(what: Plan, backbone: Backbone, store: Store, as_json: bool) -> None:
    from dataclasses import asdict

    from ..study.estimate import estimate

    with shown() as progress:
        stages = estimate(what, backbone, store, progress)
    total = sum(stage.seconds for stage in stages)
    if as_json:
        stated = {"protocol": what.protocol, "notes": list(what.notes)}
        print_json(stated | {"stages": [asdict(stage) for stage in stages], "seconds": total})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("Step", "Amount", "State", "Estimated", box=None, pad_edge=False)
    for stage in stages:
        state = "in the store" if stage.done else "to do"
        table.add_row(
            stage.what.replace("[", "\\["), stage.amount, state, "" if stage.done else duration(stage.seconds)
        )
    console = Console()
    console.print(table)
    console.print(f"λ is chosen by protocol '{what.protocol}'. About {duration(total)} in all; nothing was trained.")
    for note in what.notes:
        console.print(note, markup=False, highlight=False)

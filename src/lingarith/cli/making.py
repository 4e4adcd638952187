"""``lingarith demo``, ``adapt``, ``run`` and ``train``: each is one study, whose work is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..algebra import parse
from ..errors import LingarithError
from ..newsroom import NEWSROOM
from ..study.options import TRACK, WorkOptions
from ..study.study import ADAPT, GROUPS, Study, read_study, study_of
from ..study.tracking import Tracker
from .flags import flags, taken
from .opening import DEFAULT_STORE, TYPED, Json, StorePlace, command, open_lab, print_json, print_table, say, warn
from .progress import duration, shown
from .terminal import console, tell

if TYPE_CHECKING:
    from ..algebra import Combination
    from ..study.forecast import Forecast
    from ..study.lab import Lab
    from ..study.lines import Plan
    from ..study.records import Run
    from ..study.runners.units import Runner

DEMO = {"targets": ("pt", "uk", "fa")}
NEWSROOM_NOTE = (
    "The newsroom is synthetic newswire written by a program in real languages: it shows and tests the method "
    "and is no benchmark of any language."
)
OF_STUDIES = ("language_steps", "language_learning_rate", "full_learning_rate", "few_steps", "variants")
"""Keys that tell vectors of a study apart: one vector alone has its own."""

Out = Annotated[Path, typer.Option("--out", help="Where the adapters and the report go.")]
On = Annotated[
    str | None, typer.Option("--on", metavar="EXPRESSION", help="Train on top of it: what is added goes with it.")
]
Track = Annotated[str | None, typer.Option("--track", help=TRACK)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what there is to do and how long it takes.")]


@flags("space", "seeds")
def demo(
    given: dict[str, Any], out: Out = Path("lingarith-demo"), store: StorePlace = DEFAULT_STORE, as_json: Json = False
) -> None:
    """The method whole, in minutes: English labels, plain text of four languages, three adapters.

    It is `lingarith adapt pt uk fa` on the embedded newsroom. Run again, it takes what exists.
    """
    if not as_json:
        tell(
            "Labels in English, plain text in English, Portuguese, Ukrainian and Persian: one task vector and four "
            "language vectors, added and subtracted.",
            stderr=True,
        )
    # One vector in a pass: how many do best is measured, and rounds otherwise from machine to machine.
    _make(study_of("demo", ADAPT, DEMO | given, TYPED), WorkOptions(together=1), store, out, as_json=as_json)


@flags(*GROUPS, WorkOptions, without=("variants", "full_learning_rate"))
def adapt(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET…", help="Languages without labels: pt yo zh")],
    given: dict[str, Any],
    out: Out = Path("adapted"),
    format: Annotated[
        str, typer.Option("--format", help="Handed over: peft, or serving for vLLM.", rich_help_panel="Work")
    ] = "peft",
    store: StorePlace = DEFAULT_STORE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """An adapter for each TARGET from labels in the sources and plain text of both.

    Trains the vectors that the store lacks, adds and subtracts them, chooses λ, tests, and says
    whether it helped.

    `lingarith adapt pt yo -b google/mt5-base --labels 'summ/{language}/{split}.jsonl' --text 'plain/{language}.txt'`
    """
    work = taken(given, WorkOptions)
    from ..study.hand_over import check_handed_over

    study = study_of("adapt", ADAPT, given | {"targets": targets}, TYPED)
    check_handed_over(study, format)
    _make(study, work, store, out, format, dry_run=dry_run, as_json=as_json)


@flags(*GROUPS, WorkOptions)
def run(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="table1 … table7, figure2, sources, tasks … (docs), or a TOML file.")
    ],
    given: dict[str, Any],
    profile: Annotated[str, typer.Option(help="Which of the file's profiles: newsroom, paper.")] = NEWSROOM,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key, as in the file.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Instead of runs/STUDY-PROFILE.")] = None,
    store: StorePlace = DEFAULT_STORE,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """A table or figure of the paper, with controls, on a backbone of your own.

    What is there, from this study or another in the same store, is not done again.

    `lingarith run table1 --profile paper -b google/mt5-base --labels 'summ/{language}/{split}.jsonl'`
    (docs/data.md lists the keys)
    """
    work = taken(given, WorkOptions)
    wanted = read_study(study, profile, given, change or [])
    _make(wanted, work, store, out or Path("runs") / f"{wanted.name}-{profile}", dry_run=dry_run, as_json=as_json)


def _make(
    study: Study,
    work: WorkOptions,
    store: str,
    out: Path,
    format: str = "peft",
    *,
    dry_run: bool = False,
    as_json: bool = False,
) -> None:
    """Do a study, write its report, and print what it found; in a dry run only what there is to do."""
    from ..formats.serving import unserved
    from ..study import run as doing
    from ..study.forecast import Forecast
    from ..study.hand_over import SERVING
    from ..study.lines import plan
    from ..study.listings import LISTINGS
    from ..study.runners.choice import runner

    who = runner(work.runner, workers=work.workers, address=work.address, settings=work.slurm)
    track = Tracker(work.track) if work.track else None
    with shown() as progress:
        lab = open_lab(study, store, progress, track=track)
        planned = None if study.table in LISTINGS else plan(lab)
        if dry_run:
            if planned is None:
                raise LingarithError(f"{study.table} needs no model and takes seconds; leave out --dry-run")
            _show(Forecast(lab, planned.counted), planned, who, work, as_json=as_json)
            return

        def announce(forecast: Forecast) -> None:
            if format == SERVING:
                warn(unserved(lab.backbone.encoder_decoder))
            if who.workers == 1 and (said := forecast.threads(forecast.untrained)):
                tell(said, stderr=True)
            if planned and study.table != ADAPT and not as_json:
                _show(forecast, planned, who, work, before=True)

        run = doing.run(
            lab, out, planned, runner=who, together=work.together, announce=announce, format=format,
            command=command(), notes=[NEWSROOM_NOTE] if NEWSROOM in lab.read_from else [],
        )  # fmt: skip
    how = "vLLM finds them by the names of their folders" if format == SERVING else "load them with PEFT"
    _report(run, out, how, as_json)


def _report(run: Run, out: Path, how: str, as_json: bool) -> None:
    """Write the report; print the tables, the verdict, and of what is handed over an example for each target."""
    from ..formats.gguf import elsewhere
    from ..report.cards import write_cards
    from ..report.examples import examples
    from ..report.findings import findings
    from ..report.writing import as_text, write_report

    results, about = findings(run), run.about
    report, *_ = write_report({out.name: results}, out)
    write_cards(results, out)
    if as_json:
        facts = {"verdict": results.sentences, "notes": about.notes, "adapters": about.handed_over, "report": report}
        print_json({"cells": results.cells, "tables": results.tables} | facts)
        return
    for grid in results.tables:
        console().print(as_text(grid), "")
    say([*results.sentences, *about.notes])
    for target in about.targets if about.handed_over else ():
        for one in examples(run, target, 1):
            outputs = (f"  {output.label:<18} {output.text}  ({output.score:.0f})" for output in one.outputs)
            say([f"\n{target}  {one.example.id}", f"  {'Reference':<18} {one.example.reference}", *outputs])
    if about.handed_over:
        tell(f"\nadapters: {', '.join(str(out / place) for place in about.handed_over)} ({how})")
        base = elsewhere(about.backbone)[1]
        warn("" if base in about.notes else base)
    tell(f"report:   {report}")


def _show(
    forecast: Forecast, plan: Plan, who: Runner, work: WorkOptions, *, as_json: bool = False, before: bool = False
) -> None:
    """What a study consists of, and what is left of it; ``before`` it begins, on stderr."""
    from ..study.runners.units import Work

    lab, stages = forecast.lab, forecast.stages()
    seconds, size = sum(stage.seconds for stage in stages), sum(stage.bytes for stage in stages)
    until = who.estimate(Work(lab, forecast, plan.protocol, work.together))
    if as_json:
        facts = {"stages": stages, "left": sum(stage.left for stage in stages), "protocol": plan.protocol}
        facts |= {"notes": list(lab.notes), "seconds": seconds, "bytes": size, "workers": who.workers}
        print_json(facts | {"until_done": until})
        return
    heads, rows = ("In all", "Done", "Left", "Estimated"), []
    for stage in stages:
        counts = (f"{count:,}" for count in (stage.all, stage.all - stage.left, stage.left))
        rows.append([stage.what, *counts, duration(stage.seconds) if stage.left else ""])
    print_table(["", *heads], rows, heads, stderr=before)
    sentences = [f"About {duration(seconds)} and {size / 1e6:.0f} MB in {lab.store.place}."]
    if who.workers > 1:
        sentences.append(f"With {who.workers} workers: {duration(until)}, and {duration(seconds)} of device time.")
    if plan.protocol:
        sentences.append(f"λ is chosen by protocol '{plan.protocol}'.")
    say(sentences if before else [*sentences, "Nothing was trained or written.", *lab.notes], stderr=before)


# ---------------------------------------------------------------- one vector

train = typer.Typer(help="Train one vector and put it into the store.", no_args_is_help=True)


@train.command()
@flags(
    "text", "plain_field", "characters", "backbone", "vectors", "training", "sums",
    without=(*OF_STUDIES, "max_target"),
)  # fmt: skip
def language(
    lang: Annotated[str, typer.Argument(metavar="LANG", help="The language's code, such as pt.")],
    given: dict[str, Any],
    on: On = None,
    track: Track = None,
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Train a language vector on plain text (prefix-LM).

    `lingarith train language pt --text 'data/plain/{language}.txt.gz' --steps 5000`
    """
    _trained(given, on, store, track, as_json, lambda lab, seed: lab.language(seed, lang))


@train.command()
@flags(
    "tasks", "fields", "prompt", "chat", "train_limit", "validation_limit", "sample_seed", "backbone", "vectors",
    "training", "sums", without=OF_STUDIES,
)  # fmt: skip
def task(
    labels: Annotated[str, typer.Argument(help="`newsroom`, `xlsum` …, or a pattern with {language} and {split}.")],
    lang: Annotated[str, typer.Argument(metavar="LANG", help="The language's code, such as en.")],
    given: dict[str, Any],
    on: On = None,
    track: Track = None,
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Train a task vector on labelled examples of one language.

    `lingarith train task 'data/summ/{language}/{split}.jsonl.gz' en --steps 5000`
    """
    given["labels"] = labels
    _trained(given, on, store, track, as_json, lambda lab, seed: lab.task(lab.study.only_task, seed, lang))


def _trained(
    given: dict[str, Any],
    on: str | None,
    store: str,
    track: str | None,
    as_json: bool,
    asked: Callable[[Lab, int], Combination],
) -> None:
    """Train the vector that is asked of a lab, alone or with the other processes of torchrun."""
    from ..model.parallel import joined
    from ..progress import quiet
    from ..study.forecast import Forecast
    from ..study.outputs import Counted
    from ..study.records import dose_said

    study = study_of("train", ADAPT, given, TYPED)
    if len(study.vectors.seeds) > 1:
        raise LingarithError("a vector has one seed; train those of several one after another")
    tracker = Tracker(track) if track else None
    with joined() as processes, shown() as progress:
        lab = open_lab(study, store, quiet if processes.rank else progress, track=tracker)
        if on is not None:
            lab.put_on(parse(on))
        [name] = asked(lab, study.vectors.seeds[0]).names
        if processes.size == 1 and (said := Forecast(lab, Counted(lab)).threads([name])):
            tell(said, stderr=True)
        [vector] = lab.vectors([name]).values()
    if processes.rank:
        return
    origin, digest, place = vector.origin, lab.content(name) or "", lab.store.place
    if as_json:
        print_json({"name": vector.name, "hash": digest, "trained": name in lab.trained, "origin": dict(origin)})
    elif name not in lab.trained:
        tell(f"{vector.name} was in {place} already ({digest[:12]}): same data, backbone and options")
    else:
        tell(
            f"{vector.name} ({digest[:12]}) is in {place}: {origin['steps']} steps, "
            f"{origin['cost']['tokens']:,} tokens, {origin['cost']['seconds']:.0f} s; "
            f"losses in objects/{digest[:12]}…/log.jsonl"
        )
        if said := dose_said(origin):
            tell(said)

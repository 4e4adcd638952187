"""``lingarith related`` and ``lingarith languages``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .opening import open_backbone, open_store, print_json
from .progress import shown

if TYPE_CHECKING:
    from ..languages.distances import Table
    from ..languages.related import Related, Rule

FROM_DATA = ("vectors", "hidden-states", "subwords")
PAPER = "paper-table5"


def related(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET…", help="Languages by code or English name.")],
    among: Annotated[
        str | None, typer.Option("--among", help="The sources: ar,bn,en. Without it: the paper's seen languages.")
    ] = None,
    syntactic: Annotated[float | None, typer.Option(help="Take what is nearer than this; 0.7 without it.")] = None,
    geographic: Annotated[float | None, typer.Option(help="And nearer than this; 0.3 without it.")] = None,
    either: Annotated[bool, typer.Option("--either", help="One of these limits is enough.")] = False,
    top: Annotated[int | None, typer.Option("--top", help="Not limits: the nearest so many by --measure.")] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            "--measure",
            help="Of URIEL: syntactic, geographic, genetic, phonological, inventory, featural. "
            "From data: vectors, hidden-states, subwords. Or a column of --table.",
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Not limits: `paper-table5`, what the paper prints.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="Your own distances: CSV with source, target and measures.")
    ] = None,
    individual: Annotated[
        bool, typer.Option("--individual", help="What macro-languages stand for: arb for ar, not ara.")
    ] = False,
    geographic_decimals: Annotated[
        int | None, typer.Option(min=0, help="Round geographic distances; lang2vec gives one decimal.")
    ] = None,
    text: o.PlainData = "newsroom",
    plain_field: o.PlainField = "text",
    characters: o.Characters = 100_000,
    backbone: o.BackboneName = "newsroom",
    store: o.StorePlace = o.DEFAULT_STORE,
    dtype: o.Precision = "auto",
    bits: o.Bits = None,
    device_map: o.DeviceMap = None,
    as_json: o.Json = False,
) -> None:
    """Which languages are related to each TARGET, how far they are, and what let them in or kept them out.

    `lingarith related pt --among ar,bn,en,ja,ko,id,sw,ru,te,th,tr`
    """
    from ..errors import LingarithError, did_you_mean
    from ..languages.codes import SEEN, language
    from ..languages.distances import Uriel, read_table
    from ..languages.related import related as judged
    from ..languages.uriel import MEASURES

    wanted = [language(target).code for target in targets]
    sources = [language(source.strip()).code for source in among.split(",")] if among is not None else list(SEEN)
    rule = _rule(syntactic, geographic, either, top, preset)
    tables = read_table(table) if table else {}
    limited = ["syntactic", "geographic"]
    if top is None and (measure or (tables and not tables.keys() & set(limited))):
        raise LingarithError(
            f"there is no limit on {measure or ' and '.join(tables)}, only on syntactic and geographic distances; "
            "say by --top how many languages to take"
        )
    found: list[Table | Uriel] = []
    for name in [measure] if measure else list(tables) if top and tables else limited:
        if name in tables:
            found.append(tables[name])
        elif name in FROM_DATA:
            documents = (text, plain_field, characters)
            found.append(_from_data(name, [*wanted, *sources], documents, store, (backbone, dtype, bits, device_map)))
        elif name in MEASURES:
            found.append(Uriel(name, individual, geographic_decimals if name == "geographic" else None))
        else:
            known = (*tables, *MEASURES, *FROM_DATA)
            raise LingarithError(f"there is no measure '{name}'{did_you_mean(name, known)}")
    results = [judged(target, sources, rule, distances=found) for target in wanted]
    paper = _paper(wanted, sources)
    if as_json:
        print_json({one.target: _facts(one, paper.get(one.target)) for one in results})
    elif len(results) == 1:
        _show(results[0], paper.get(results[0].target))
    else:
        _show_all(results, paper)


def languages(
    codes: Annotated[
        list[str] | None, typer.Argument(metavar="[LANGUAGE…]", help="Codes or English names; else the paper's.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Languages: code, ISO 639-3, script and name, and whether the paper has them as seen or unseen.

    Where the code means a macro-language, the individual language it mostly stands for is named too.
    """
    from dataclasses import asdict

    from ..errors import LingarithError
    from ..languages.codes import OF_THE_PAPER, SEEN, UNSEEN, language

    rows: list[dict[str, str | None]] = []
    for code in codes or OF_THE_PAPER:
        one = language(code)
        individual = None
        with suppress(LingarithError):  # such as `no`, which is Bokmål as well as Nynorsk
            individual = language(code, individual=True).iso639_3
        paper = "seen" if one.code in SEEN else "unseen" if one.code in UNSEEN else None
        rows.append(asdict(one) | {"individual": individual, "paper": paper})
    if as_json:
        print_json(rows)
        return
    from rich import print as show
    from rich.table import Table

    table = Table("Code", "ISO 639-3", "Individual", "Script", "Name", "Paper", box=None, pad_edge=False)
    for row in rows:
        individual = "" if row["individual"] == row["iso639_3"] else row["individual"] or "several"
        table.add_row(row["code"], row["iso639_3"], individual, row["script"], row["name"], row["paper"])
    show(table)


def _rule(syntactic: float | None, geographic: float | None, either: bool, top: int | None, preset: str | None) -> Rule:
    from ..errors import LingarithError
    from ..languages.related import Limits, Nearest
    from ..languages.related import preset as printed

    given = {"syntactic": syntactic, "geographic": geographic}
    own = {name: limit for name, limit in given.items() if limit is not None}
    if sum([bool(own) or either, top is not None, preset is not None]) > 1:
        raise LingarithError("limits, --top and --preset are different rules; give one of them")
    if top is not None:
        return Nearest(top)
    return printed(preset) if preset is not None else Limits({**Limits().below, **own}, either)


def _from_data(
    measure: str,
    codes: Sequence[str],
    documents: tuple[str, str, int],
    store: str,
    model: tuple[str, str, int | None, str | None],
) -> Table:
    """A measure of :data:`FROM_DATA` between all these languages."""
    from ..study import relatedness
    from ..study.plan import AdaptOptions, Reading
    from ..text.corpora import text_name

    source, field, characters = documents
    if measure == "vectors":
        shelf = open_store(store)
        return relatedness.vectors({code: shelf.get(f"{text_name(source)}[{code}]") for code in codes})
    options = AdaptOptions(text=source, plain_field=field, text_characters=characters)
    with shown() as progress:
        read = Reading(options, open_store(store).folder / "text", progress)
        texts = {code: read.plain(code) for code in codes}
    opened = open_backbone(*model)
    if measure == "subwords":
        return relatedness.subwords(opened, texts)
    with shown() as progress:
        return relatedness.hidden_states(opened, texts, progress)


def _paper(targets: Sequence[str], sources: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """What Table 5 of the paper has for the targets, if the sources are those of the paper."""
    from ..languages.codes import SEEN
    from ..languages.related import preset

    sets = preset(PAPER).sets if set(sources) == set(SEEN) else {}
    return {target: sets[target] for target in targets if target in sets}


def _facts(one: Related, paper: Sequence[str] | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(one), "chosen": one.chosen, "paper": paper}


def _show(one: Related, paper: Sequence[str] | None) -> None:
    from rich import print as show
    from rich.table import Table

    measures = list(one.candidates[0].distances)
    table = Table("", "Language", box=None, pad_edge=False)
    for name in measures:
        table.add_column(name.capitalize(), justify="right")
    table.add_column("Why")
    for each in one.candidates:
        numbers = ("–" if value is None else f"{value:.4f}" for value in each.distances.values())
        table.add_row("in" if each.chosen else "out", _named(each.language), *numbers, each.why)
    print(f"Related to {_named(one.target)}: {one.rule}")
    print(f"Distances: {', '.join(one.measures)}\n")
    show(table)
    print(f"\nRelated: {' '.join(one.chosen)}")
    if paper is not None:
        print(f"Table 5 of the paper: {' '.join(paper)}")
    if one.note:
        print(f"Note: {one.note}")


def _show_all(results: Sequence[Related], paper: Mapping[str, Sequence[str]]) -> None:
    from rich import print as show
    from rich.table import Table

    beside = ("Table 5 of the paper", "Difference") if paper else ()
    table = Table("Target", "Related", *beside, box=None, pad_edge=False)
    for one in results:
        cells = [_named(one.target), " ".join(one.chosen)]
        if one.target in paper:
            listed = paper[one.target]
            more = [f"+{code}" for code in one.chosen if code not in listed]
            less = [f"−{code}" for code in listed if code not in one.chosen]
            cells += [" ".join(listed), " ".join(more + less) or "none"]
        table.add_row(*cells)
    print(f"Related, nearest first: {results[0].rule}")
    print(f"Distances: {', '.join(results[0].measures)}\n")
    show(table)
    for one in results:
        if one.note:
            print(f"{one.target}: {one.note}")


def _named(code: str) -> str:
    from ..languages.codes import language

    return f"{code} {language(code).name}"

"""``lingarith related`` and ``lingarith languages``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..errors import LingarithError
from ..languages.codes import OF_THE_PAPER, SEEN, UNSEEN, language
from ..languages.distances import Distances
from ..languages.related import Related, RelatedOptions, printed
from ..languages.related import related as judged
from .composing import study_typed
from .flags import flags, taken
from .opening import DEFAULT_STORE, Json, StorePlace, open_lab, print_json, print_table
from .progress import shown
from .terminal import tell


@flags(RelatedOptions, "text", "plain_field", "backbone")
def related(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET…", help="Languages by code or English name.")],
    given: dict[str, Any],
    among: Annotated[
        str | None, typer.Option("--among", help="The sources: ar,bn,en. Without it: the paper's seen languages.")
    ] = None,
    characters: Annotated[int, typer.Option(help="So much plain text of a language is measured.")] = 100_000,
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Which languages are related to each TARGET, how far they are, and what let them in or kept them out.

    `lingarith related pt --among ar,bn,en,ja,ko,id,sw,ru,te,th,tr`
    """
    options = taken(given, RelatedOptions)
    wanted = [language(target).code for target in targets]
    sources = [language(source.strip()).code for source in among.split(",")] if among is not None else list(SEEN)

    def from_data(measure: str) -> Distances:
        from ..study.relatedness import measured

        with shown() as progress:
            lab = open_lab(study_typed(given, characters=characters), store, progress, trains=False)
            return measured(lab, measure, [*wanted, *sources])

    distances = options.distances(from_data)
    results = [judged(target, sources, options.rule, distances=distances) for target in wanted]
    paper = printed(wanted, sources)
    if as_json:
        more = {one.target: {"chosen": one.chosen, "paper": paper.get(one.target)} for one in results}
        print_json({one.target: asdict(one) | more[one.target] for one in results})
    elif len(results) == 1:
        _show(results[0], paper.get(results[0].target))
    else:
        _show_all(results, paper)


def languages(
    codes: Annotated[
        list[str] | None, typer.Argument(metavar="[LANGUAGE…]", help="Codes or English names; else the paper's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Languages: code, ISO 639-3, script and name, and whether the paper has them as seen or unseen.

    Where the code means a macro-language, the individual language it mostly stands for is named too.
    """
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
    for row in rows:
        row["individual"] = "" if row["individual"] == row["iso639_3"] else row["individual"] or "several"
    keys = ("code", "iso639_3", "individual", "script", "name", "paper")
    cells = [[row[key] or "" for key in keys] for row in rows]
    print_table(["Code", "ISO 639-3", "Individual", "Script", "Name", "Paper"], cells)


def _show(one: Related, paper: Sequence[str] | None) -> None:
    measures = [name.capitalize() for name in one.candidates[0].distances]
    rows = []
    for candidate in one.candidates:
        numbers = ("–" if value is None else f"{value:.4f}" for value in candidate.distances.values())
        rows.append(["in" if candidate.chosen else "out", _named(candidate.language), *numbers, candidate.why])
    tell(f"Related to {_named(one.target)}: {one.rule}")
    tell(f"Distances: {', '.join(one.measures)}\n")
    print_table(["", "Language", *measures, "Why"], rows, measures)
    tell(f"\nRelated: {' '.join(one.chosen)}")
    if paper is not None:
        tell(f"Table 5 of the paper: {' '.join(paper)}")
    if one.note:
        tell(f"Note: {one.note}")


def _show_all(results: Sequence[Related], paper: Mapping[str, Sequence[str]]) -> None:
    rows = []
    for one in results:
        rows.append([_named(one.target), " ".join(one.chosen)])
        if listed := paper.get(one.target):
            more = [f"+{code}" for code in one.chosen if code not in listed]
            less = [f"−{code}" for code in listed if code not in one.chosen]
            rows[-1] += [" ".join(listed), " ".join(more + less) or "none"]
    tell(f"Related, nearest first: {results[0].rule}")
    tell(f"Distances: {', '.join(results[0].measures)}\n")
    print_table(["Target", "Related", *(("Table 5 of the paper", "Difference") if paper else ())], rows)
    for one in results:
        if one.note:
            tell(f"{one.target}: {one.note}")


def _named(code: str) -> str:
    return f"{code} {language(code).name}"

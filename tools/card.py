"""What the newsroom backbone can do, measured: ``python -m tools.card``.

Three ways to a headline for an article of the test split: a task vector of the language's own labels
(the ceiling), the task vector of English labels alone (what arithmetic starts from), and no vector:
the backbone goes on after "ARTICLE |", as pretraining pages do.

A program, not a part of the library: it stands on all floors. Vectors are
kept in a store and figures after each language, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import re
import string
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from lingarith.algebra import Combination
from lingarith.cli.progress import shown
from lingarith.disk.files import write_atomically
from lingarith.model.memory import prepare
from lingarith.newsroom.pages import SEPARATOR
from lingarith.newsroom.rows import SIZES
from lingarith.newsroom.world import CHOICES, PLACES, story
from lingarith.newsroom.writer import LANGUAGES, language_file, words
from lingarith.scores.resample import bootstrap_interval
from lingarith.store.store import Store
from lingarith.study.lab import Lab
from lingarith.study.outputs import Stored, Wanted
from lingarith.study.scoring import Outcome
from lingarith.study.study import study_of
from lingarith.text.tasks import TASKS, examples

Figures = dict[str, list[float]]
"""``rouge2``, ``names``, ``numbers``: mean over the examples and its 95 % interval, each 0..100."""
WAYS = {"own": "own labels", "english": "English labels", "bare": "no labels"}
BEGIN, END = "<!-- figures: begin -->\n", "\n<!-- figures: end -->"


def facts_right(language: str, number: int, output: str) -> tuple[bool, bool]:
    """Whether an output has every place and person, and every number, that test story's headline has."""
    told = story("test", number)
    template = language_file(language)["events"][told.event]["summary"]
    facts = [told.facts[slot] for _, slot, _, _ in string.Formatter().parse(template) if slot]
    names = [words(language, fact) for fact in facts if isinstance(fact, tuple) and fact[0] not in CHOICES]
    counts = [re.escape(words(language, fact)) for fact in facts if isinstance(fact, int | float | str)]
    named = all(_has(output, name, language) for name in names)
    return named, all(re.search(rf"(?<!\d)(?<!\d[.,]){count}(?![.,]?\d)", output) for count in counts)


def _has(output: str, name: str, language: str) -> bool:
    for place in _places(language):
        if name in place and name != place:  # in Japanese, Somalia is no mention of Mali
            output = output.replace(place, "")
    return name in output


@cache
def _places(language: str) -> list[str]:
    return [words(language, ("place", index)) for index in range(len(PLACES))]


def measured(language: str, lab: Lab) -> dict[str, Figures]:
    """The figures of a language for each of :data:`WAYS`."""
    asked = lab.labels("summaries", language, "test")
    bare = replace(TASKS["summaries"], prompt="{text}" + SEPARATOR.rstrip())
    limit, folder = lab.study.data.test_limit, lab.store.folder / "text"
    continued = examples(bare, "newsroom", language, "test", limit=limit, folder=folder)
    outputs = Stored(lab)
    own, english = lab.task("summaries", 0, language), lab.task("summaries", 0, "en")
    [by_own, by_english] = outputs.written(Wanted("summaries", asked, [own, english]))
    [by_none] = outputs.written(Wanted("summaries", continued, [Combination()]))
    written = {"own": by_own, "english": by_english, "bare": by_none}
    return {way: _figures(language, outcomes) for way, outcomes in written.items()}


def _figures(language: str, outcomes: Sequence[Outcome]) -> Figures:
    right = [facts_right(language, number, outcome.output) for number, outcome in enumerate(outcomes)]
    scores = {
        "rouge2": [outcome.score for outcome in outcomes],
        "names": [100.0 * names for names, _ in right],
        "numbers": [100.0 * numbers for _, numbers in right],
    }
    return {name: [round(x, 1) for x in (fmean(of), *bootstrap_interval(of))] for name, of in scores.items()}


def as_markdown(found: dict[str, Any]) -> str:
    """The figures as a table: ROUGE-2 with its interval; names and numbers in percent of the outputs."""
    rows, training = found["languages"], found["training"]
    good = sum(row["own"]["rouge2"][0] >= 60 for row in rows.values())
    about = (
        f"Backbone `{found['backbone'][:16]}`, {found['examples']} test articles of each language; task vectors of "
        f"rank {training['adapter']['rank']}, {training['steps']} steps of {training['batch_size']} examples. "
        f"With own labels, ROUGE-2 is 60 or more in {good} of {len(rows)} languages."
    )
    heads = "".join(f" {way}: ROUGE-2 | names | numbers |" for way in WAYS.values())
    lines = [about, "", f"| |{heads}", "|---|" + "---|" * 3 * len(WAYS)]
    for language, row in rows.items():
        cells = (" {:.1f} ({:.1f} to {:.1f}) |".format(*row[way]["rouge2"]) + _percents(row[way]) for way in WAYS)
        lines.append(f"| {language} |{''.join(cells)}")
    return "\n".join(lines)


def _percents(figures: Figures) -> str:
    return f" {figures['names'][0]:.0f} | {figures['numbers'][0]:.0f} |"


def main() -> None:
    """Measure the languages that ``--out`` lacks, print the table, and put it between the marks of the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--steps", type=int, default=study_of("card", "adapt").task_training.steps)
    parser.add_argument("--examples", type=int, default=SIZES["test"])
    parser.add_argument("--store", type=Path, default=Path("lingarith-store"))
    parser.add_argument("--out", type=Path, default=Path("docs/newsroom-figures.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/newsroom.md"))
    args = parser.parse_args()
    study = study_of("card", "adapt", {"steps": args.steps, "test_limit": args.examples})
    prepare()
    lab = Lab(study, Store(args.store))
    training = asdict(study.training(0, labels=True))
    about = {"backbone": lab.backbone.fingerprint, "examples": args.examples, "training": training}
    found = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {**about, "languages": {}}
    if any(found[key] != value for key, value in about.items()):
        raise SystemExit(f"{args.out} holds figures of another backbone or other options; move it away")
    with shown() as lab.progress:
        for language in args.languages.split(","):
            if language not in found["languages"]:
                found["languages"][language] = measured(language, lab)
                write_atomically(args.out, json.dumps(found, indent=1) + "\n")
    print(as_markdown(found))
    if args.page.exists():
        before, _, rest = args.page.read_text(encoding="utf-8").partition(BEGIN)
        write_atomically(args.page, before + BEGIN + as_markdown(found) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()

"""Runs read strictly: what is refused, what is taken together, and which lines count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from lingarith.errors import LingarithError
from lingarith.report.cells import cells
from lingarith.report.runs import chosen, outputs, read_runs, targets_of
from lingarith.study.records import About, Grid, Run

Build, Write = Callable[..., Run], Callable[..., Path]


def test_runs_that_differ_in_their_seeds_are_one(make_study: Build, folder_of: Write) -> None:
    folders = [folder_of(make_study((seed,)), str(seed)) for seed in (0, 2)]
    [(name, run)] = read_runs(folders).items()
    assert (name, run.about.seeds, run.about.study["seeds"]) == ("0", [0, 2], [0, 2])
    cell = next(c for c in cells(run) if (c.target, c.method) == ("pt", "add"))
    assert (cell.seeds, cell.score, cell.gain) == (2, 30.5, 5.0)  # 29.5 and 31.5
    assert cell.low is not None and cell.high is not None  # noqa: PT018
    assert cell.low < 29.5 < 31.5 < cell.high
    assert len(run.ingredients) == 1
    assert {fixed.seed for fixed in run.about.fixed} == {0, 2}
    with pytest.raises(LingarithError, match="is the same run as another one"):
        read_runs([folders[0], folders[0]])


def test_which_seed_is_named_first_says_nothing(make_study: Build, folder_of: Write) -> None:
    """Three parts of one study and another run: whichever comes first, the same is said of each."""
    parts = [replace(make_study(seeds), ingredients=[]) for seeds in ((1, 4), (0,), (2,))]
    noted = [replace(run, about=replace(run.about, notes=["all", f"of {run.about.seeds}"])) for run in parts]
    folders = [folder_of(run, f"seeds{run.about.seeds[0]}") for run in noted]
    [(name, run)] = read_runs(folders).items()
    assert (name, run.about.seeds) == ("seeds0", [0, 1, 4, 2])
    assert run.about.notes == ["all", "of [0]", "of [1, 4]", "of [2]"]
    for order in permutations(folders):
        assert list(read_runs(order).items()) == [(name, run)]
    other = folder_of(make_study(data={"summaries/pt": "0"}), "other")
    assert list(read_runs([folders[0], other, *folders[1:]])) == ["seeds0", "other"]  # chapters stand as they are named


def test_an_adaptation_with_two_seeds_hands_over_what_both_do(make_run: Build, folder_of: Write) -> None:
    one = make_run(n=5)
    about = replace(one.about, identity="other", seeds=[1], handed_over=one.about.handed_over | {"uk": "add"})
    other = Run(
        about, one.examples, [replace(r, seed=1) for r in one.records], [replace(c, seed=1) for c in one.choices]
    )
    folders = [folder_of(one, "one"), folder_of(other, "other")]
    for order in (folders, folders[::-1]):
        [run] = read_runs(order).values()
        assert list(run.about.handed_over.items()) == [("pt", "add_subtract"), ("fa", "uncoupled")]


def test_other_runs_stay_apart(make_study: Build, make_run: Build, folder_of: Write) -> None:
    listing = Run(About("7", "Sizes", "table7", grid=Grid("Sizes", ["Language"], [["en"]], ".")))
    runs = (make_study(), make_study(data={"summaries/pt": "0"}), make_run(n=5), listing)
    folders = [folder_of(run, "same") for run in runs]
    found = read_runs(folders)
    assert list(found) == [*map(str, folders)]
    assert list(found.values()) == list(runs)


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("records.jsonl", lambda text: text[:-20], r"records\.jsonl, line 120: cut off; run the command again"),
        ("records.jsonl", lambda text: text.replace('"score"', '"scor"', 1), r"line 1: there is no 'scor' here; did"),
        ("records.jsonl", lambda text: text.replace("20.0", '"20"', 1), r"line 1: 'score' is '20'; it must be a num"),
        ("records.jsonl", lambda text: text[:50] + "\n" + text[50:], r"line 1 is damaged: not JSON"),
        ("choices.jsonl", lambda text: text.replace('"curve"', '"c"', 1), r"choices\.jsonl, line 1: there is no 'c'"),
        ("run.json", lambda text: text.replace('"reference"', '"referenc"'), r"run\.json: there is no 'referenc' here"),
        ("run.json", lambda text: text.replace('"by_source": false', '"by_source": 0'), "'by_source' is 0; it must be"),
        ("run.json", lambda text: text[:-9], "is no run folder"),
    ],
)  # fmt: skip
def test_what_is_broken_is_said(
    file: str, change: Callable[[str], str], sentence: str, make_study: Build, folder_of: Write
) -> None:
    path = folder_of(make_study()) / file
    path.write_text(change(path.read_text()))
    with pytest.raises(LingarithError, match=sentence):
        read_runs([path.parent])


def test_a_run_without_records_is_not_reported(make_study: Build, folder_of: Write) -> None:
    with pytest.raises(LingarithError, match="has no records yet; run the command again"):
        read_runs([folder_of(Run(make_study().about))])


def test_the_protocols_choice_counts_and_of_several_the_last(run: Run) -> None:
    place = ("summaries", "pt", "add", "")
    assert (chosen(run)[place, 0].weight, chosen(run, "oracle")[place, 0].weight) == (0.95, 1.0)
    again = replace(chosen(run)[place, 0], weight=0.5)
    assert chosen(replace(run, choices=[*run.choices, again]))[place, 0] == again
    alone = replace(run, choices=[c for c in run.choices if c.protocol == "oracle"])
    assert chosen(alone)[place, 0].weight == 1.0  # the only one that there is


def test_only_test_records_at_the_weight_count(run: Run) -> None:
    place = ("summaries", "pt", "add", "")
    assert {r.weight for r in outputs(run)[place][0].values()} == {0.95}
    assert {r.weight for r in outputs(run, "oracle")[place][0].values()} == {1.0}
    assert outputs(replace(run, records=[replace(r, split="validation") for r in run.records])) == {}
    better = replace(run.records[0], score=99.0)
    found = outputs(replace(run, records=[*run.records, better]))["summaries", "pt", "baseline", ""][0]
    assert len(found) == 40
    assert found[better.id] == better


def test_targets_of_a_task_keep_the_order_of_the_run(make_run: Build) -> None:
    run = make_run(n=2, targets=["fa", "pt", "uk", "yo"])
    assert targets_of(run, "summaries") == ["fa", "pt", "uk"]
    assert targets_of(run, "questions") == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda lines: lines[1:], r"outputs for \d+ of \d+ examples of .*; run the command again"),
        (
            lambda lines: [lines[0].replace('"id": "', '"id": "no'), *lines[1:]],
            "an output for 'no.*, which is no example",
        ),
    ],
)
def test_outputs_and_examples_belong_together(
    change: Callable[[list[str]], list[str]], sentence: str, make_study: Build, folder_of: Write
) -> None:
    path = folder_of(make_study()) / "records.jsonl"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(LingarithError, match=sentence):
        read_runs([path.parent])

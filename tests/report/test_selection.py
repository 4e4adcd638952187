from dataclasses import replace

from lingarith.report.selection import choice, curve, equations, on_test, targets
from lingarith.study.records import EQUATIONS, Run


def test_targets_keep_the_order_asked_for_and_add_what_else_there_is(run):
    assert targets(run) == ["pt", "uk", "fa"]
    assert targets(replace(run, about={"targets": ["fa"]})) == ["fa", "pt", "uk"]
    assert targets(Run({})) == []


def test_equations_come_in_the_order_of_a_table(run):
    assert equations(replace(run, records=run.records[::-1])) == list(EQUATIONS)


def test_the_last_of_several_lines_counts(run):
    again = replace(run.choices[0], weight=0.5)
    repeated = replace(run, choices=[*run.choices, again])
    assert choice(repeated, again.target, again.equation, again.protocol) == again
    better = replace(run.records[0], score=99.0)
    found = on_test(replace(run, records=[*run.records, better]), "pt", "baseline", None)
    assert len(found) == 40
    assert found[better.id] == better


def test_a_chosen_weight_knows_how_many_seeds_chose_it(make_study):
    study = make_study(seeds=(0, 1, 2, 3))
    others = {0: 1.0, 1: 0.9}
    mine = [
        replace(c, weight=others.get(c.seed, 0.0)) for c in study.choices if (c.target, c.equation) == ("pt", "add")
    ]
    found = curve(replace(study, choices=mine), "pt", "add", "oracle")
    assert found.chosen == [(1.0, 30.0, 0.25), (0.9, 35.0, 0.25), (0.0, 1.0, 0.5)]


def test_only_test_records_at_the_weight_count(run):
    validation = [replace(record, split="validation") for record in run.records]
    assert on_test(replace(run, records=validation), "pt", "add", 0.95) == {}
    assert on_test(run, "pt", "add", 0.94) == {}
    assert len(on_test(run, "pt", "add", 0.95)) == 40

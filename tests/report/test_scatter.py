from dataclasses import replace

import pytest
from scipy.stats import spearmanr

from lingarith.languages.distances import Uriel
from lingarith.report.cells import Cell, cells
from lingarith.report.scatter import DOSE, WRONG, Point, points, rank_correlation
from lingarith.study.records import Ingredient


def test_points_of_a_study(make_study):
    run = make_study(targets=["pt", "uk", "fa"])
    found = points(run, cells(run, draws=10), fewest=3)
    of_add = {point.target: point for point in found["syntactic similarity"] if point.method == "add"}
    assert of_add.keys() == {"pt", "uk", "fa"}
    assert of_add["pt"].gain == 5.0
    assert of_add["pt"].x == 1 - Uriel("syntactic").between("en", "pt")
    assert points(run, cells(run, draws=10)) == {}  # three languages show nothing


def test_of_several_sources_the_nearest_counts(make_study):
    run = make_study(sources=["en", "ru"])
    found = points(run, cells(run, draws=10), fewest=3)
    for measure in ("syntactic", "geographic"):
        for point in found[f"{measure} similarity"]:
            far = {source: Uriel(measure).between(source, point.target) for source in ("en", "ru")}
            assert (point.source, point.x) == (min(far, key=far.get), 1 - min(far.values()))


def test_points_of_pairs_and_a_language_without_distances(make_study):
    run = make_study(by_source=True)
    of = [
        Cell("summaries", t, "add_subtract", 1, 1, 25.0, gain=5.0, source=s)
        for s in ("en", "ru")
        for t in ("pt", "qaa")
    ]
    found = points(run, of, fewest=2)
    assert {(p.source, p.target, p.gain) for p in found["syntactic similarity"]} == {
        ("en", "pt", 5.0),
        ("ru", "pt", 5.0),
    }


@pytest.mark.parametrize("values", [[(1, 2), (2, 1), (3, 5), (3, 4)], [(1, 1), (1, 2), (2, 2), (0, 9), (7, 3)]])
def test_the_rank_correlation_is_scipys(values):
    found = [Point("en", "pt", "add", x, y) for x, y in values]
    assert rank_correlation(found) == pytest.approx(spearmanr(*zip(*values, strict=True)).statistic)


def test_without_differences_there_is_no_correlation():
    assert rank_correlation([Point("en", "pt", "add", 1.0, y) for y in (1.0, 2.0)]) is None
    assert rank_correlation([]) is None


DOSES = {"pt": (1.5, 1.4), "uk": (2.0, 1.5), "fa": (1.0, 1.1)}


def dosed(run, doses=DOSES):
    """The run with language vectors of two seeds, of which the second saved 0.2 bits per byte more."""
    made = [
        Ingredient(
            f"news[{t}]", "7a" * 32, 1.0, 1, 1, 1,
            {"kind": "language", "language": t, "dose": {"before": before, "after": after - 0.2 * seed}},
        )
        for t, (before, after) in doses.items() for seed in (0, 1)
    ]  # fmt: skip
    return replace(run, ingredients=[*run.ingredients, *made])


def test_gains_stand_against_doses(make_study):
    run = dosed(make_study())
    found = points(run, cells(run, draws=10))
    assert list(found) == [DOSE]  # the baseline is wrong everywhere alike, and three languages show nothing of likeness
    at = {(p.target, p.method): (round(p.x, 6), p.gain) for p in found[DOSE]}
    assert at["pt", "add"] == (0.2, 5.0)
    assert at["uk", "add_subtract"] == (0.6, 0.0)
    assert at["fa", "add"] == (0.0, 0.0)
    one = dosed(make_study(), {"pt": (1.5, 1.4)})
    assert points(one, cells(one, draws=10)) == {}


def test_gains_stand_against_wrong_languages_of_the_baseline(run):
    """Outputs that are empty or copied are in no wrong language."""
    of = [
        Cell("summaries", t, "baseline", 1, 1, 25.0, kinds=kinds)
        for t, kinds in (("pt", {"source": 0.5, "other": 0.25, "target": 0.25}), ("uk", {"empty": 0.5, "target": 0.5}))
    ]
    of += [Cell("summaries", t, "add", 1, 1, 30.0, gain=gain) for t, gain in (("pt", 5.0), ("uk", -1.0))]
    found = points(run, of)
    assert {(p.source, p.target, p.x, p.gain) for p in found[WRONG]} == {
        ("en", "pt", 75.0, 5.0),
        ("en", "uk", 0.0, -1.0),
    }

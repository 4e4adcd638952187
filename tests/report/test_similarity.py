import pytest
from scipy.stats import spearmanr

from lingarith.languages.distances import Uriel
from lingarith.report.pairs import Pair
from lingarith.report.results import results
from lingarith.report.similarity import Point, of_cells, of_pairs, rank_correlation


def test_points_of_a_study(make_study):
    run = make_study()
    found = of_cells(run, results(run).cells)
    points = {point.target: point for point in found["syntactic"] if point.method == "add"}
    assert points.keys() == {"pt", "uk", "fa"}
    assert points["pt"].gain == 5.0
    assert points["pt"].similarity == 1 - Uriel("syntactic").between("en", "pt")


def test_of_several_sources_the_nearest_counts(make_study):
    run = make_study(sources=["en", "ru"])
    for measure, points in of_cells(run, results(run).cells).items():
        for point in points:
            far = {source: Uriel(measure).between(source, point.target) for source in ("en", "ru")}
            assert (point.source, point.similarity) == (min(far, key=far.get), 1 - min(far.values()))


def test_points_of_pairs_and_a_language_without_distances(make_study):
    run = make_study(by_source=True)
    pairs = [Pair(s, t, 20.0, 25.0, 25.0, 1.0, 1.0) for s in ("en", "ru") for t in ("pt", "qaa")]
    assert {(p.source, p.target, p.gain) for p in of_pairs(run, pairs)["syntactic"]} == {
        ("en", "pt", 5.0),
        ("ru", "pt", 5.0),
    }


@pytest.mark.parametrize("values", [[(1, 2), (2, 1), (3, 5), (3, 4)], [(1, 1), (1, 2), (2, 2), (0, 9), (7, 3)]])
def test_the_rank_correlation_is_scipys(values):
    points = [Point("en", "pt", "add", x, y) for x, y in values]
    assert rank_correlation(points) == pytest.approx(spearmanr(*zip(*values, strict=True)).statistic)


def test_without_differences_there_is_no_correlation():
    assert rank_correlation([Point("en", "pt", "add", 1.0, y) for y in (1.0, 2.0)]) is None
    assert rank_correlation([]) is None

import pytest
from scipy.stats import spearmanr

from lingarith.languages.distances import Uriel
from lingarith.report.cells import Cell, cells
from lingarith.report.similarity import Point, points, rank_correlation


def test_points_of_a_study(make_study):
    run = make_study(targets=["pt", "uk", "fa"])
    found = points(run, cells(run, draws=10), fewest=3)
    of_add = {point.target: point for point in found["syntactic"] if point.method == "add"}
    assert of_add.keys() == {"pt", "uk", "fa"}
    assert of_add["pt"].gain == 5.0
    assert of_add["pt"].similarity == 1 - Uriel("syntactic").between("en", "pt")
    assert points(run, cells(run, draws=10)) == {}  # three languages show nothing


def test_of_several_sources_the_nearest_counts(make_study):
    run = make_study(sources=["en", "ru"])
    for measure, found in points(run, cells(run, draws=10), fewest=3).items():
        for point in found:
            far = {source: Uriel(measure).between(source, point.target) for source in ("en", "ru")}
            assert (point.source, point.similarity) == (min(far, key=far.get), 1 - min(far.values()))


def test_points_of_pairs_and_a_language_without_distances(make_study):
    run = make_study(by_source=True)
    of = [
        Cell("summaries", t, "add_subtract", 1, 1, 25.0, gain=5.0, source=s)
        for s in ("en", "ru")
        for t in ("pt", "qaa")
    ]
    found = points(run, of, fewest=2)
    assert {(p.source, p.target, p.gain) for p in found["syntactic"]} == {("en", "pt", 5.0), ("ru", "pt", 5.0)}


@pytest.mark.parametrize("values", [[(1, 2), (2, 1), (3, 5), (3, 4)], [(1, 1), (1, 2), (2, 2), (0, 9), (7, 3)]])
def test_the_rank_correlation_is_scipys(values):
    found = [Point("en", "pt", "add", x, y) for x, y in values]
    assert rank_correlation(found) == pytest.approx(spearmanr(*zip(*values, strict=True)).statistic)


def test_without_differences_there_is_no_correlation():
    assert rank_correlation([Point("en", "pt", "add", 1.0, y) for y in (1.0, 2.0)]) is None
    assert rank_correlation([]) is None

from lingarith.report.paper import printed
from lingarith.report.results import results
from lingarith.report.study_table import grids


def test_averages_are_those_of_the_languages():
    """What the paper prints as an average is the mean of what it prints for its languages."""
    for table in ("table1", "table2", "table3", "table6"):
        numbers = printed(table)
        for task, method in {(task, method) for task, _, method in numbers}:
            own = {target: value for (t, target, m), value in numbers.items() if (t, m) == (task, method)}
            average = own.pop("average")
            if len(own) == 11:
                assert abs(sum(own.values()) / 11 - average) < 0.11, (table, method)


def test_a_table_that_is_not_the_papers_has_no_numbers():
    assert printed("figure2") == printed("my-study") == {}


def test_beside_the_paper(make_study):
    run = make_study()
    *_, grid = grids(run, results(run).cells)
    assert list(grid.heads) == ["", "Baseline", "Paper", "Add", "Paper", "Add−Sub", "Paper"]
    by_name = {row[0]: list(row[1:]) for row in grid.rows}
    assert by_name["pt"] == ["24.5", "22.3", "29.5", "–", "29.5", "–"]
    assert by_name["gain"] == ["", "", "+1.7", "+0.2", "+1.7", "+0.8"]
    assert "arXiv 2311.09344" in grid.caption
    assert "gu, mr, ne, si, so, vi, yo, zh among them" in grid.caption

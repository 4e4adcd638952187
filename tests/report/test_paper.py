from lingarith.report.paper import printed


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

from __future__ import annotations

from lingarith.study.records import METHODS


def test_a_name_is_shorter_where_there_is_less_room() -> None:
    for name in METHODS.values():
        assert len(name.brief) <= len(name.short) <= len(name.full)
        assert len(name.brief) <= 12

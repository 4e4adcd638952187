"""All runners leave the same records and the same vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lingarith.study.runners.processes import Processes
from lingarith.study.studies import Study


def test_processes(small: Study, expected: Any, left: Callable[..., Any], tmp_path: Path) -> None:
    assert left(small, tmp_path, Processes(2)) == expected

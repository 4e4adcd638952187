"""Every text of some files, whatever the fields are called: what a vocabulary must be able to spell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import MissingData
from ..languages.codes import SEEN, UNSEEN, language_name
from ..unicode import composed
from .patterns import files_like
from .rows import read_rows
from .tasks import TASKS


def every_text(patterns: Sequence[str]) -> Iterator[str]:
    """The texts of all rows of the files that match, then built-in prompts and names of languages, in the one form.

    ``{language}`` and ``{split}`` in a pattern stand for anything. Raises :class:`MissingData` where no file matches
    one, and :class:`LingarithError` for a file that cannot be read.
    """
    for pattern in patterns:
        files = files_like(pattern)
        if not files:
            raise MissingData(f"no file matches '{pattern}'; give a file, or a pattern such as 'summ/*/*.jsonl.gz'")
        for file in files:
            for _, row in read_rows(file):
                yield from _strings(row)
    for task in TASKS.values():
        yield from (composed(text) for text in (task.prompt, task.decoder_prompt, *task.labels))
    yield from map(language_name, (*SEEN, *UNSEEN))


def _strings(value: Any) -> Iterator[str]:
    """The texts in a value of JSON, at every depth."""
    if isinstance(value, str):
        yield composed(re.sub("[\ud800-\udfff]", "", value))
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)

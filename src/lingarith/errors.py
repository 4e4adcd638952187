"""What a user can do wrong: one exception, whose message is one sentence that says what to do."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

LONGEST = 300
"""Characters of a sentence beside the paths in it; of a longer one the middle goes, which repeats what was read."""
PATH = re.compile(r"\S*/\S*")
LONGEST_PATH, PATHS = 200, 3

USER = re.compile(r"(?:(?<=://)[^\s:/]*:\S*|(?<=https://)[^\s/]*|(?<=http://)[^\s/]*)@")
"""What stands before the host of a URL: with a password, or alone where that is a token. Passwords hold any sign."""
TOKEN = re.compile(r"([?&][^=&\s]*(?:sig|token|key|secret|passw|credential)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """A text whose URLs can be shown, and written into files: without users, passwords and tokens.

    >>> without_passwords("sftp://me:hun/ter@2@host/x and https://host/y?sig=3f2a&v=1")
    'sftp://***@host/x and https://host/y?sig=***&v=1'
    >>> without_passwords("abfs://container@account/x")
    'abfs://container@account/x'
    """
    return TOKEN.sub(r"\1***", USER.sub("***@", text)) if "://" in text else text


class LingarithError(Exception):
    """Something the user can mend. The command line prints the message and exits with 2.

    Whatever was read from a file, the sentence is short (:data:`LONGEST`) and holds no passwords and nothing that a
    terminal acts on. Lines that show the place may stand below.
    """

    def __init__(self, sentence: object, *lines: str) -> None:
        super().__init__(_short(visible(without_passwords(str(sentence)))), *map(visible, lines))

    def __str__(self) -> str:
        return "\n".join(self.args)


def visible(text: str) -> str:
    """A text on one line without what a terminal acts on or cannot show, which stands there escaped.

    >>> visible("news\\x1b[2J\\n, line 2"), visible("\\ud800 and \\u202e")
    ('news\\\\x1b[2J , line 2', '\\\\ud800 and \\\\u202e')
    """
    text = text.replace("\n", " ")
    return (
        text
        if text.isprintable()
        else "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    )


def _short(sentence: str) -> str:
    paths = PATH.findall(sentence)[:PATHS] if len(sentence) > LONGEST else ()
    room = LONGEST + sum(min(len(path), LONGEST_PATH) for path in paths)
    if len(sentence) <= room:
        return sentence
    half = (room - 3) // 2
    return f"{sentence[:half]} … {sentence[-half:]}"


DO_LESS = (
    "there is not enough memory; do less at a time (--together 1, --accumulation 4, --generate-batch 8, "
    "--max-input), and what is finished is not done again"
)


class Unreadable(LingarithError):
    """What is there cannot be read now (no permission, a failing disk). It may be as good as ever, so it is not left
    out of what is listed, and nobody is told to delete it."""


class MissingData(LingarithError):
    """There is no data of that language and split. Where the data are optional, that is an answer."""


def out_of_memory(problem: BaseException) -> bool:
    """Whether a device or the machine is full; told by what torch says, since commands end without torch too."""
    return isinstance(problem, MemoryError) or (
        isinstance(problem, RuntimeError)
        and (type(problem).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(problem))
    )


def in_a_line(problem: BaseException) -> str:
    """What a library says in an error, on one line; the kind of error where it says nothing."""
    return " ".join(str(problem).split()) or type(problem).__name__


def first_sentence(problem: BaseException) -> str:
    """The first sentence of it, without its stop, and no more than 200 characters."""
    return in_a_line(problem).split(". ")[0].rstrip(". ")[:200]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean xlsum[en]?"`, or the known names, or nothing when there are none.

    >>> did_you_mean("xlsum[eng]", ["xlsum[en]", "mc4[pt]"])
    '; did you mean xlsum[en]?'
    >>> did_you_mean("zzz", ["factors", "delta"])
    '; known are: delta, factors'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    if not names:
        return ""
    listed = ", ".join(names[:12])
    return f"; known are: {listed}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def optional(library: str, extra: str = "") -> Any:
    """A library that comes with an extra of this package, or by itself.

    Raises :class:`LingarithError` where it is not installed.
    """
    with suppress(ImportError):
        module = importlib.import_module(library)
        if module.__file__:  # None of a folder of data that happens to have its name
            return module
    what = f"'lingarith[{extra}]'" if extra else library
    raise LingarithError(f"{library} is not installed; get it by `pip install {what}`")

"""Named entities as text: ``PER: Ana Silva; LOC: Lisboa`` in the order of the text, or ``none``.

A model writes this line, and spans are read from it again to be scored. An entity that stands twice
in a text is written twice. Tokens with IOB2 tags (``B-PER I-PER O``) become the same line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..errors import LingarithError
from ..unicode import composed

NONE = "none"
"""What is written where there is no entity."""
Span = tuple[str, str]
"""Kind and text of an entity."""

KIND = r"[^\W\d_][\w-]*"


def written(spans: Iterable[Span], where: str) -> str:
    """The line of some entities; ``where`` names their row in errors.

    Raises :class:`LingarithError` for an entity that could not be read from the line again, since its
    kind is no word or its text is blank or holds a "; KIND:" itself.

    >>> written([("PER", "Ana  Silva"), ("LOC", "Lisboa")], "line 1"), written([], "line 1")
    ('PER: Ana Silva; LOC: Lisboa', 'none')
    """
    plain = [(kind, _plain(text)) for kind, text in spans]
    line = "; ".join(f"{kind}: {text}" for kind, text in plain) or NONE
    if read(line) != plain:
        raise LingarithError(f"{where}: the entities {plain} cannot be told apart when written as '{line}'")
    return line


def read(line: str) -> list[Span]:
    """The entities of a line, whoever wrote it; what stands there without a kind has the kind "".

    >>> read("PER: Ana Silva;LOC: Rio; de Janeiro"), read("None"), read("Ana")
    ([('PER', 'Ana Silva'), ('LOC', 'Rio; de Janeiro')], [], [('', 'Ana')])
    """
    if _plain(line).casefold() in (NONE, ""):
        return []
    spans = []
    for part in re.split(rf";\s*(?={KIND}:)", line):
        kind, colon, text = part.partition(":")
        named = colon and re.fullmatch(KIND, kind.strip())
        spans.append((kind.strip(), _plain(text)) if named else ("", _plain(part)))
    return [span for span in spans if span[1]]


def tagged(tokens: Any, tags: Any, where: str) -> list[Span]:
    """The entities of tokens with IOB2 tags; their text is the tokens with spaces between.

    As in ``conlleval``, an ``I-`` that continues nothing begins an entity. Raises
    :class:`LingarithError` unless both are lists of text, equally long, and each tag is ``O``,
    ``B-KIND`` or ``I-KIND``; ``where`` names the row.

    >>> tagged(["Ana", "Silva", "em", "Lisboa"], ["B-PER", "I-PER", "O", "B-LOC"], "line 1")
    [('PER', 'Ana Silva'), ('LOC', 'Lisboa')]
    """
    for name, values in (("tokens", tokens), ("tags", tags)):
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            hint = "; write their names, such as B-PER, for class ids" if name == "tags" else ""
            raise LingarithError(f"{where}: the {name} are no list of text{hint}")
    if len(tokens) != len(tags):
        raise LingarithError(f"{where}: there are {len(tokens)} tokens and {len(tags)} tags; each token has one tag")
    spans: list[tuple[str, list[str]]] = []
    inside = ""
    for token, tag in zip(tokens, tags, strict=True):
        if not re.fullmatch(rf"O|[BI]-{KIND}", tag):
            raise LingarithError(f"{where}: the tag '{tag}' is none of IOB2; write O, B-KIND or I-KIND, such as B-PER")
        kind = tag[2:]
        if tag[0] == "I" and kind == inside:
            spans[-1][1].append(token)
        elif kind:
            spans.append((kind, [token]))
        inside = kind
    return [(kind, " ".join(some)) for kind, some in spans]


def _plain(text: str) -> str:
    return composed(" ".join(text.split()))

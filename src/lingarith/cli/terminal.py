"""What stands between data and a terminal: nothing that is printed acts on it.

Names, origins, texts and outputs come from anywhere. A character that a terminal would act on (escape sequences, what
turns the direction of a line) is shown as JSON escapes it, and nothing is read as rich's markup.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, ends of lines and turns of direction, and halves of characters."""


def harmless(text: str) -> str:
    """
    >>> print(harmless("\\x1b[2Jcleared or not"))
    \\u001b[2Jcleared or not
    """
    return ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def tell(text: str = "", *, stderr: bool = False) -> None:
    """A text on lines of its own, as it is; it appears at once."""
    print(harmless(text), file=sys.stderr if stderr else sys.stdout, flush=True)


def console(*, stderr: bool = False) -> Console:
    """The console of rich for all that is drawn or wrapped."""
    from rich import console as rich

    class Harmless(rich.Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=harmless(segment.text))

    return Harmless(stderr=stderr, markup=False, highlight=False, emoji=False)

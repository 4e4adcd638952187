"""How reports say names and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..study.records import RATES, UNCOUPLED, Weight, name_of

AVERAGE = "average"
BITS = "Bits per byte"
"""A figure beside a metric that needs more decimals than the others."""
NO_TEST = "No test records: nothing was evaluated on a test split, so there is no table."
KIND_LABELS = {
    "target": "right language",
    "source": "source language",
    "other": "other language",
    "empty": "empty",
    "copied": "copied",
}
"""What an output can be, in the order in which reports name it."""
PROTOCOLS = {
    "oracle": "the target's own labelled validation set (uses target labels: not zero-shot)",
    "sources": "each labelled source language in turn plays the unseen target (no target label is touched)",
    "unlabelled": "no labels: the weight that predicts plain text of the target best, of those that keep the task",
}


def symbol(method: str) -> str:
    """The letter of the method's weight: β where the task is kept whole, else λ."""
    return "β" if method == UNCOUPLED else "λ"


def weights_text(method: str, weights: Iterable[Weight]) -> str:
    """The weights that were chosen, each once: λ, β, learning rates, or source languages.

    >>> weights_text("add", (0.9, 1.0, 0.9)), weights_text("uncoupled", [0.0]), weights_text("rates", [1e-3])
    ('λ = 0.9, 1', 'β = 0', '0.001')
    >>> weights_text("best", ["ru"]), weights_text("baseline", [])
    ('ru', '')
    """
    weights = list(weights)
    bare = method == RATES or any(isinstance(weight, str) for weight in weights)
    return plain_weights(weights) if bare or not weights else f"{symbol(method)} = {plain_weights(weights)}"


def plain_weights(weights: Iterable[Weight]) -> str:
    """Weights without their letters, each once."""
    return ", ".join(map(plain_weight, dict.fromkeys(weights)))


def plain_weight(weight: Weight) -> str:
    """A weight without its letter."""
    return weight if isinstance(weight, str) else f"{weight:g}"


def named(method: str, weights: Iterable[Weight] = ()) -> str:
    """A method with the weights that were chosen for it.

    >>> named("add", (0.9, 0.9)), named("baseline")
    ('Add (λ = 0.9)', 'Baseline')
    """
    chosen = weights_text(method, weights)
    return name_of(method).short + (f" ({chosen})" if chosen else "")


def number(value: float | None, decimals: int = 1) -> str:
    """With a true minus sign, an en dash where there is no number, never −0.0.

    >>> number(41.25), number(-0.04), number(-1.2), number(None)
    ('41.2', '0.0', '−1.2', '–')
    """
    return "–" if value is None else f"{value:z.{decimals}f}".replace("-", "−")


def beside(value: float | None, name: str) -> str:
    """A figure that stands beside a metric, of that name.

    >>> beside(2.4489, "Bits per byte"), beside(29.61, "Corpus chrF")
    ('2.449', '29.6')
    """
    return number(value, 3 if name == BITS else 1)


def two(value: float | None) -> str:
    """A number with two decimals."""
    return number(value, 2)


def signed(value: float | None) -> str:
    """
    >>> signed(3.14), signed(-3.14), signed(0.01)
    ('+3.1', '−3.1', '0.0')
    """
    text = number(value)
    return f"+{text}" if value is not None and value > 0 and text != "0.0" else text


def percent(share: float) -> str:
    """
    >>> percent(0.984)
    '98 %'
    """
    return f"{100 * share:.0f} %"


def p_text(p: float | None) -> str:
    """
    >>> p_text(0.0123), p_text(0.00002), p_text(None)
    ('p = 0.012', 'p < 0.001', '')
    """
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def plain(value: object) -> str:
    """A value from ``run.json`` as text: lists with commas, mappings as ``key value``.

    >>> plain({"name": "newsroom", "rank": 4, "revision": None}), plain(["pt", "fa"])
    ('name newsroom · rank 4', 'pt, fa')
    """
    if isinstance(value, Mapping):
        texts = {key: grouped(item) if key == "parameters" else plain(item) for key, item in value.items()}
        return " · ".join(f"{key} {text}" for key, text in texts.items() if text)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(plain, value))
    return "" if value is None else str(value)


def grouped(value: object) -> str:
    """A count with its thousands apart (narrow no-break spaces, so that no line breaks in it).

    >>> grouped(3300000).split()
    ['3', '300', '000']
    """
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else str(value)

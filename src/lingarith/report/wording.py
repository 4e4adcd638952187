"""How reports say names and numbers."""

from __future__ import annotations

from ..study.records import METHODS, UNCOUPLED

KIND_LABELS = {
    "target": "right language",
    "source": "source language",
    "other": "other language",
    "empty": "empty",
    "copied": "copied",
}
"""What an output can be, in the order in which reports name it."""
BRIEF = {
    "rates": "Best rate",
    "scaled": "λ · task alone",
    "wrong": "Wrong language",
    "random": "Random vector",
    "best": "Best source",
    "best_on_test": "Best source, on test",
    "add_subtract_related": "Add and Sub. related",
}


def short(equation: str) -> str:
    """What an equation is called where room is scarce.

    >>> short("add_subtract"), short("baseline")
    ('Add and Subtract', 'Baseline')
    """
    return METHODS.get(equation, equation).split(" (")[0]


def name_of(equation: str) -> str:
    """What it is called where even less room is: beside a bar, in a legend.

    >>> name_of("wrong"), name_of("add_subtract")
    ('Wrong language', 'Add and Subtract')
    """
    return BRIEF.get(equation, short(equation))


def symbol(equation: str) -> str:
    """The letter of the equation's weight: β where the task is kept whole, else λ."""
    return "β" if equation == UNCOUPLED else "λ"


def weight_text(equation: str, weight: float | None) -> str:
    """
    >>> weight_text("add", 0.9), weight_text("uncoupled", 0.0), weight_text("baseline", None)
    ('λ = 0.9', 'β = 0', '')
    """
    return "" if weight is None else f"{symbol(equation)} = {weight:g}"


def number(value: float | None) -> str:
    """One decimal with a true minus sign, an en dash where there is no number, never −0.0.

    >>> number(41.25), number(-0.04), number(-1.2), number(None)
    ('41.2', '0.0', '−1.2', '–')
    """
    return "–" if value is None else f"{value:z.1f}".replace("-", "−")


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

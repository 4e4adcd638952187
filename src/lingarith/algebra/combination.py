"""A linear combination of named vectors: data that parses, prints and hashes; the numbers come last.

    0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])

is a Python value, a command-line argument, a log line, a row of a table and a key of a cache.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from numbers import Real
from typing import NamedTuple, NoReturn, SupportsFloat

from ..errors import LingarithError
from ..unicode import visible

DIGITS = 12  # that a coefficient is said with, so that 1 - 0.9 and 0.1 are one
PLAIN = (1e-3, 1e3)
"""Coefficients between these have so many decimals; smaller and larger ones so many digits."""
ROUNDING = 1e-12
"""A sum that is less than this share of its largest summand is what rounding left of 0."""

SHOWN = 80
"""Characters of an expression on each side of what is wrong with it."""

SIGNS = str.maketrans("\u2212\u00d7\u00b7\u22c5", "-***")
"""Signs as they are printed."""
NAME = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*"  # xlsum, mc4.v2; no '-', which is minus here
    r"(?:\[[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*\])?"  # [en], [zh-Hans]
    r"(?:@[0-9a-f]+)?"  # @3f2a, the beginning of a content hash
)


@dataclass(frozen=True, repr=False)
class Combination:
    """Σ cᵢ·θᵢ as pairs of name and coefficient.

    Whatever the order of the pairs given, ``terms`` comes out canonical: one pair per name,
    coefficients rounded to 12 decimals (to 12 digits below 0.001 and from 1000 on), zeros dropped, in groups of
    equal size: the largest first, groups that only subtract last, and within a group positive before negative,
    then by name. Equal combinations are therefore ``==``, hash alike and print alike. ``+ - * /`` work as on
    paper, on coefficients that are not rounded: (a/3)*3 is a.

    >>> 0.6 * vector("xlsum[en]") + (1 - 0.6) * (vector("mc4[pt]") - vector("mc4[en]"))
    parse('0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])')

    Raises LingarithError for a name that is none and for a coefficient that is NaN, infinite, or too small for a
    number of the computer's.
    """

    terms: tuple[tuple[str, float], ...] = ()
    _exact: tuple[tuple[str, float], ...] = field(default=(), init=False, compare=False)
    """The same before rounding, in the order of the names."""

    __array_ufunc__ = None  # numpy scalars on the left leave the product to us

    def __post_init__(self) -> None:
        summands: dict[str, list[float]] = {}
        for name, coefficient in self.terms:
            summands.setdefault(name, []).append(_finite(name, coefficient))
        exact = {_checked(name): _finite(name, added(summands[name])) for name in sorted(summands)}
        kept = [(name, rounded(c)) for name, c in exact.items() if c]
        positive = {c for _, c in kept if c > 0}
        kept.sort(key=lambda term: (abs(term[1]) not in positive, -abs(term[1]), term[1] < 0, term[0]))
        object.__setattr__(self, "_exact", tuple((name, c) for name, c in exact.items() if c))
        object.__setattr__(self, "terms", tuple(kept))

    @property
    def weights(self) -> Mapping[str, float]:
        """The coefficient of each name, in canonical order."""
        return dict(self.terms)

    @property
    def names(self) -> tuple[str, ...]:
        """The vectors that are needed, in canonical order."""
        return tuple(name for name, _ in self.terms)

    @property
    def key(self) -> str:
        """sha256 (64 hex digits) of the printed form."""
        return hashlib.sha256(str(self).encode()).hexdigest()

    def __add__(self, other: Combination | float) -> Combination:
        if isinstance(other, Real):  # 0 is the empty combination, so that sum() works
            return self if other == 0 else NotImplemented
        return Combination(self._exact + other._exact) if isinstance(other, Combination) else NotImplemented

    __radd__ = __add__

    def __neg__(self) -> Combination:
        return self * -1.0

    def __sub__(self, other: Combination | float) -> Combination:
        return self + -other

    def __rsub__(self, other: float) -> Combination:
        return -self + other

    def __mul__(self, number: float) -> Combination:
        if not isinstance(number, Real):
            return NotImplemented
        if not number:
            return Combination()
        return Combination(tuple((name, _full(name, c * float(number))) for name, c in self._exact))

    __rmul__ = __mul__

    def __truediv__(self, number: float) -> Combination:
        if not isinstance(number, Real):
            return NotImplemented
        if number == 0:
            raise LingarithError(f"{self} cannot be divided by zero")
        return Combination(tuple((name, _full(name, c / float(number))) for name, c in self._exact))

    def __str__(self) -> str:
        text = ""
        for size, group in groupby(self.terms, key=lambda term: abs(term[1])):
            terms = list(group)
            plus, minus = [name for name, c in terms if c > 0], [name for name, c in terms if c < 0]
            sign = "+" if plus else "-"
            inside = " - ".join([" + ".join(plus), *minus]) if plus else " + ".join(minus)
            if len(terms) > 1 and (size != 1 or sign == "-"):
                inside = f"({inside})"
            text += f" {sign} " + ("" if size == 1 else f"{repr(size).removesuffix('.0')}*") + inside
        return re.sub(r"^ - ", "-", text).removeprefix(" + ") or "0"

    def __repr__(self) -> str:
        return f"parse({str(self)!r})"


def vector(name: str) -> Combination:
    """The combination that is one vector: 1·name.

    Raises LingarithError for a name that is none.

    >>> str(vector("mc4[zh-Hans]"))
    'mc4[zh-Hans]'
    """
    return Combination(((name, 1.0),))


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise LingarithError(f"{name!r} is not a name of a vector; names look like xlsum[en] or mc4[zh-Hans]@3f2a")
    return name


def _finite(name: str, coefficient: SupportsFloat) -> float:
    number = float(coefficient)
    if not math.isfinite(number):
        raise LingarithError(f"the coefficient of {name} is {number}; it must be a finite number")
    return number


def _full(name: str, coefficient: float) -> float:
    """A product or quotient that is not 0 on paper. Raises LingarithError where it has become 0."""
    if not coefficient:
        raise LingarithError(f"the coefficient of {name} is too small for a number; multiply by a larger one")
    return coefficient


def added(numbers: Collection[float]) -> float:
    """The sum of numbers, and 0 where all that is left is what rounding them leaves.

    >>> added([1, -0.9, -0.1]), added([1e-13]), added([])
    (0.0, 1e-13, 0.0)
    """
    try:
        total = math.fsum(numbers)
    except (OverflowError, ValueError):  # infinite on the way, or ∞ − ∞
        return math.inf
    return total if abs(total) > ROUNDING * max(map(abs, numbers), default=0.0) else 0.0


def rounded(coefficient: float) -> float:
    """A coefficient as it is said, which is itself as it is said.

    >>> rounded(1 / 3), rounded(1 - 0.9), rounded(2e-20 / 3), rounded(2e20 / 3)
    (0.333333333333, 0.1, 6.66666666667e-21, 6.66666666667e+19)
    """
    smallest, largest = PLAIN
    if smallest <= abs(coefficient) < largest:
        return round(coefficient, DIGITS)
    return float(f"{coefficient:.{DIGITS - 1}e}")


def parse(text: str) -> Combination:
    """The combination that ``text`` writes: numbers, names, ``+ - * /`` and parentheses.

    Signs may be those of print too: the minus of tables, × and ·.

    ``parse(str(c)) == c`` for every combination c. Raises LingarithError with the text and a
    caret under the place that cannot be read.

    >>> parse("(xlsum[en] + xlsum[ar]) / 2 - (1 - 0.9)*mc4[en]")
    parse('0.5*(xlsum[ar] + xlsum[en]) - 0.1*mc4[en]')
    >>> parse("0.6*xlsum[en] + 0.4 mc4[pt]")
    Traceback (most recent call last):
    lingarith.errors.LingarithError: an operator such as + or * is missing before mc4[pt]
      0.6*xlsum[en] + 0.4 mc4[pt]
                          ^
    """
    try:
        return _Parser(re.sub(r"\s", " ", visible(text).translate(SIGNS))).whole()
    except RecursionError:
        raise LingarithError("the expression is nested too deeply; write it with fewer parentheses") from None


class _Token(NamedTuple):
    kind: str  # "number", "name", "end", or the sign itself
    text: str
    at: int


# Names are read loosely here and checked afterwards, so that the error shows the whole of a wrong one.
_TOKEN = re.compile(
    r" *(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_.]*(?:\[[^\]]*\]?)?(?:@[A-Za-z0-9_]*)?)"
    r"|(?P<sign>[-+*/()])"
    r"|(?P<end>$))"
)


class _Parser:
    """Recursive descent: a method per precedence, each giving a number or a combination."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.next = self.read(0)

    def fail(self, sentence: str, at: int) -> NoReturn:
        start = max(0, at - SHOWN)
        shown = self.text[start : at + SHOWN]
        raise LingarithError(sentence, f"  {shown}", f"  {' ' * (at - start)}^")

    def read(self, start: int) -> _Token:
        found = _TOKEN.match(self.text, start)
        if found is None or found.lastgroup is None:
            at = len(self.text) - len(self.text[start:].lstrip(" "))
            self.fail(f"{self.text[at]!r} means nothing in an expression", at)
        kind, text = found.lastgroup, found[found.lastgroup]
        return _Token(text if kind == "sign" else kind, text, found.start(kind))

    def take(self) -> _Token:
        token = self.next
        self.next = self.read(token.at + len(token.text))
        return token

    def whole(self) -> Combination:
        if self.next.kind == "end":
            raise LingarithError("the expression is empty; 0 is the combination of nothing")
        value = self.sum()
        if self.next.kind != "end":
            self.fail("this ) closes nothing", self.next.at)
        return self.vectors(value, 0)

    def vectors(self, value: Combination | float, at: int) -> Combination:
        if isinstance(value, Combination):
            return value
        if value != 0:
            self.fail("a number alone is no vector; it can only multiply or divide one", at)
        return Combination()

    def number(self, value: float, zero: bool, at: int) -> float:
        """A number that was read or multiplied, and is 0 only where that is ``zero`` on paper."""
        if not math.isfinite(value) or (value == 0) != zero:
            self.fail(f"this number is too {'small' if value == 0 else 'large'}", at)
        return value

    def sum(self) -> Combination | float:
        values, places = [self.product()], [0]
        while self.next.kind in ("+", "-"):
            sign = self.take()
            values.append(self.product() if sign.kind == "+" else -self.product())
            places.append(sign.at)
        numbers = {at: value for at, value in zip(places, values, strict=True) if not isinstance(value, Combination)}
        total = added(numbers.values())
        if len(numbers) == len(values):
            return self.number(total, total == 0, 0)
        self.vectors(total, next(iter(numbers), 0))
        # All at once: one by one, a sum of thousands would be sorted as often.
        return Combination(tuple(term for value in values if isinstance(value, Combination) for term in value._exact))

    def product(self) -> Combination | float:
        value = self.signed()
        while self.next.kind in ("*", "/"):
            sign = self.take()
            right = self.signed()
            if sign.kind == "/":
                if isinstance(right, Combination):
                    self.fail("only a number can divide", sign.at)
                if right == 0:
                    self.fail("this divides by zero", sign.at)
                value = (
                    value / right if isinstance(value, Combination) else self.number(value / right, value == 0, sign.at)
                )
            elif isinstance(right, Combination):
                if isinstance(value, Combination):
                    self.fail("two vectors cannot be multiplied", sign.at)
                value = right * value
            else:
                value = (
                    value * right
                    if isinstance(value, Combination)
                    else self.number(value * right, 0 in (value, right), sign.at)
                )
        return value

    def signed(self) -> Combination | float:
        if self.next.kind not in ("+", "-"):
            return self.operand()
        return -self.signed() if self.take().kind == "-" else self.signed()

    def operand(self) -> Combination | float:
        value = self.group() if self.next.kind == "(" else self.leaf()
        if self.next.kind in ("number", "name", "("):
            self.fail(f"an operator such as + or * is missing before {self.next.text}", self.next.at)
        return value

    def group(self) -> Combination | float:
        opening = self.take()
        value = self.sum()
        if self.next.kind != ")":
            self.fail("this ( is never closed", opening.at)
        self.take()
        return value

    def leaf(self) -> Combination | float:
        token = self.take()
        if token.kind == "number":
            return self.number(float(token.text), not re.match("[0.]*[1-9]", token.text), token.at)
        if token.kind != "name":
            self.fail("a number, a name or ( is missing here", token.at)
        if not NAME.fullmatch(token.text):
            self.fail("this is not a name of a vector; names look like xlsum[en] or mc4[zh-Hans]@3f2a", token.at)
        return vector(token.text)

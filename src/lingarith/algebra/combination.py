"""A linear combination of named vectors: data that parses, prints and hashes; the numbers come last.

    0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])

is a Python value, a command-line argument, a log line, a row of a table and a key of a cache.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from numbers import Real
from typing import NamedTuple, NoReturn

from ..errors import LingarithError
from ..unicode import visible

DIGITS = 12  # decimals that are kept, so that 1 - 0.9 and 0.1 are one coefficient

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
    coefficients rounded to 12 decimals, zeros dropped, in groups of equal size: the largest first,
    groups that only subtract last, and within a group positive before negative, then by name.
    Equal combinations are therefore ``==``, hash alike and print alike. ``+ - * /`` work as on paper.

    >>> 0.6 * vector("xlsum[en]") + (1 - 0.6) * (vector("mc4[pt]") - vector("mc4[en]"))
    parse('0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])')

    Raises LingarithError for a name that is none and for a coefficient that is NaN or infinite.
    """

    terms: tuple[tuple[str, float], ...] = ()

    __array_ufunc__ = None  # numpy scalars on the left leave the product to us

    def __post_init__(self) -> None:
        summed: dict[str, float] = {}
        for name, coefficient in self.terms:
            summed[name] = summed.get(name, 0.0) + float(coefficient)
        rounded = {_checked(name): round(_finite(name, c), DIGITS) for name, c in summed.items()}
        kept = [(name, c) for name, c in rounded.items() if c]
        added = {c for _, c in kept if c > 0}
        kept.sort(key=lambda term: (abs(term[1]) not in added, -abs(term[1]), term[1] < 0, term[0]))
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
        return Combination(self.terms + other.terms) if isinstance(other, Combination) else NotImplemented

    __radd__ = __add__

    def __neg__(self) -> Combination:
        return Combination(tuple((name, -c) for name, c in self.terms))

    def __sub__(self, other: Combination | float) -> Combination:
        return self + -other

    def __rsub__(self, other: float) -> Combination:
        return -self + other

    def __mul__(self, number: float) -> Combination:
        if not isinstance(number, Real):
            return NotImplemented
        return Combination(tuple((name, c * float(number)) for name, c in self.terms))

    __rmul__ = __mul__

    def __truediv__(self, number: float) -> Combination:
        if not isinstance(number, Real):
            return NotImplemented
        if number == 0:
            raise LingarithError(f"{self} cannot be divided by zero")
        return Combination(tuple((name, c / float(number)) for name, c in self.terms))

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


def _finite(name: str, coefficient: float) -> float:
    if not math.isfinite(coefficient):
        raise LingarithError(f"the coefficient of {name} is {coefficient}; it must be a finite number")
    return coefficient


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
        raise LingarithError(f"{sentence}\n  {self.text}\n  {' ' * at}^")

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
            self.fail("the expression is empty; 0 is the combination of nothing", self.next.at)
        value = self.sum()
        if self.next.kind != "end":
            self.fail("this ) closes nothing", self.next.at)
        return self.vectors(value, 0)

    def vectors(self, value: Combination | float, at: int) -> Combination:
        if isinstance(value, Combination):
            return value
        if round(value, DIGITS) != 0:
            self.fail("a number alone is no vector; it can only multiply or divide one", at)
        return Combination()

    def sum(self) -> Combination | float:
        value = self.product()
        while self.next.kind in ("+", "-"):
            sign = self.take()
            right = self.product() if sign.kind == "+" else -self.product()
            if isinstance(value, Combination) or isinstance(right, Combination):
                value = self.vectors(value, sign.at) + self.vectors(right, sign.at)
            else:
                value += right
        return value

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
                value = value / right
            elif isinstance(right, Combination):
                if isinstance(value, Combination):
                    self.fail("two vectors cannot be multiplied", sign.at)
                value = right * value
            else:
                value = value * right
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
            if not math.isfinite(float(token.text)):
                self.fail("this number is too large", token.at)
            return float(token.text)
        if token.kind != "name":
            self.fail("a number, a name or ( is missing here", token.at)
        if not NAME.fullmatch(token.text):
            self.fail("this is not a name of a vector; names look like xlsum[en] or mc4[zh-Hans]@3f2a", token.at)
        return vector(token.text)

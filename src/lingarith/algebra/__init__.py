"""Expressions over named vectors, and the paper's equations as functions that write them."""

from lingarith.algebra.combination import Combination, parse, vector
from lingarith.algebra.equations import add, add_subtract, add_subtract_related, average, uncoupled

__all__ = ["Combination", "add", "add_subtract", "add_subtract_related", "average", "parse", "uncoupled", "vector"]

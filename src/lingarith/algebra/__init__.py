"""Expressions over named vectors, and the paper's equations as functions that write them."""

from .combination import Combination, parse, vector
from .equations import add, add_subtract, add_subtract_related, average, uncoupled

__all__ = ["Combination", "add", "add_subtract", "add_subtract_related", "average", "parse", "uncoupled", "vector"]

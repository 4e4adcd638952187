"""The paper's tables and figures as recipes: which methods stand in each, and what they are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..actions import QUESTIONS, SUMMARIES
from ..records import (
    ADD,
    ADD_ALL,
    ADD_RELATED,
    ADD_SUBTRACT,
    ADD_SUBTRACT_RELATED,
    BASELINE,
    BEST,
    FULL,
    KRONECKER,
    LORA,
    MULTI_KRONECKER,
    MULTI_LORA,
    MULTILINGUAL,
    UNCOUPLED,
)
from .in_domain import in_domain
from .many_sources import many_sources
from .methods import Recipe
from .one_source import each_source, one_source
from .vectors_alone import vectors_alone


@dataclass(frozen=True)
class Table:
    """A table that is made from outputs.

    ``reference`` is the method that all others are compared with, ``tried`` those that the verdict
    speaks of, ``baselines`` the others that need no arithmetic. ``own_labels`` says that sources may
    be targets. Where nothing is tested ``reference`` is empty.
    """

    title: str
    methods: Recipe
    reference: str
    tried: tuple[str, ...]
    baselines: tuple[str, ...] = ()
    tasks: tuple[str, ...] = (SUMMARIES,)
    own_labels: bool = False


ONE_SOURCE = (ADD, ADD_SUBTRACT, UNCOUPLED)
MANY_SOURCES = (ADD_ALL, ADD_RELATED, ADD_SUBTRACT_RELATED)
TABLES: Mapping[str, Table] = {
    "table1": Table("Labels in one language", one_source, BASELINE, ONE_SOURCE),
    "table2": Table("Labels in many languages", many_sources, BEST, MANY_SOURCES, (MULTILINGUAL,)),
    "table3": Table("Labels in many languages, Kronecker adapters", many_sources, BEST, MANY_SOURCES, (MULTILINGUAL,)),
    "table4": Table("Answers and summaries", one_source, BASELINE, ONE_SOURCE, tasks=(SUMMARIES, QUESTIONS)),
    "table6": Table(
        "Adapters on labels of the language itself",
        in_domain, LORA, (MULTI_LORA, KRONECKER, MULTI_KRONECKER, FULL), own_labels=True,
    ),
    "figure2": Table("Every source with every target", each_source, BASELINE, (ADD_SUBTRACT,)),
    "vectors": Table("Language vectors", vectors_alone, "", (), own_labels=True),
}  # fmt: skip

"""The tables and studies by their names: which methods stand in each, and what they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from . import interference, mixtures, paper, transfer
from . import records as r
from .lab import Lab
from .place import Method, Place, Table
from .study import ADAPT


def place_of(lab: Lab, task: str, target: str, seed: int) -> Place:
    """A part of a study."""
    return Place(lab, task, target, seed, TABLES[lab.study.table])


def places(lab: Lab) -> list[Place]:
    """The parts of a study, in the order of its records."""
    return [
        place_of(lab, task, target, seed)
        for task, labels in lab.study.tasks.items()
        for target in labels.targets
        for seed in lab.study.vectors.seeds
    ]


def rows(lab: Lab) -> Iterator[tuple[Place, Method]]:
    """Every method of every part of a study, in the order of its records."""
    for place in places(lab):
        for method in place.methods:
            yield place, method


ONE_SOURCE = (r.ADD, r.ADD_SUBTRACT, r.UNCOUPLED)
MOVED = (r.SCALED, r.WRONG, r.RANDOM)
MANY_SOURCES = (r.ADD_ALL, r.ADD_RELATED, r.ADD_SUBTRACT_RELATED)
TABLES: Mapping[str, Table] = {
    ADAPT: Table("Adaptation", paper.adaptation, r.BASELINE, ONE_SOURCE, controls=(), tests=False),
    "table1": Table("Labels in one language", paper.one_source, r.BASELINE, ONE_SOURCE),
    "table2": Table("Labels in many languages", paper.many_sources, r.BEST, MANY_SOURCES, (r.MULTILINGUAL,)),
    "table3": Table(
        "Labels in many languages, Kronecker adapters", paper.many_sources, r.BEST, MANY_SOURCES, (r.MULTILINGUAL,)
    ),
    "table4": Table("Answers and summaries", paper.one_source, r.BASELINE, ONE_SOURCE),
    "table6": Table(
        "Adapters on labels of the language itself",
        paper.in_domain,
        r.LORA,
        (r.MULTI_LORA, r.KRONECKER, r.MULTI_KRONECKER, r.FULL),
        own_labels=True,
    ),
    "figure2": Table("Every source with every target", paper.each_source, r.BASELINE, (r.ADD_SUBTRACT,)),
    "methods": Table(
        "Ways to merge beside the sum",
        paper.merged,
        r.BASELINE,
        (r.ADD_SUBTRACT, *r.MERGED),
        controls=MOVED,
        own_sums=True,
    ),
    "mixed": Table("Kinds of adapters in one sum", mixtures.mixed, r.BASELINE, (), controls=MOVED, own_sums=True),
    "cost": Table("What a language vector costs", mixtures.cost, r.BASELINE, (r.ADD,), controls=(r.SCALED, r.RANDOM)),
    "addition": Table(
        "Vectors made to be added", mixtures.addition, r.BASELINE, (), controls=(r.SCALED, r.RANDOM), own_sums=True
    ),
    "linearity": Table(
        "The line between two vectors", mixtures.linearity, r.BASELINE, (), own_labels=True, controls=(), own_sums=True
    ),
    "sources": Table(
        "How many source languages",
        transfer.some_sources,
        f"{r.NEAREST}:1",
        (),  # each L has controls of its own: the answer compares them
        controls=(r.SCALED, r.WRONG),
    ),
    "tasks": Table(
        "Every task", transfer.by_task, r.BASELINE, (r.ADD, r.ADD_SUBTRACT), controls=(r.SCALED, r.WRONG, r.RANDOM)
    ),
    "subtraction": Table(
        "What subtracting does",
        transfer.parts,
        r.BASELINE,
        (r.ADD_SUBTRACT,),
        (r.ADD, r.SUBTRACT, r.SUBTRACT_OTHER, r.SCALED),
        controls=(),
    ),
    "similarity": Table(
        "Which measure of similarity", transfer.every_set, r.BEST, (), controls=(), measures=transfer.distances
    ),
    "interference": Table(
        "What foretells a loss",
        paper.one_source,
        r.BASELINE,
        ONE_SOURCE,
        controls=MOVED,
        measures=interference.measured,
    ),
    "vectors": Table("Language vectors", paper.vectors_alone, "", (), own_labels=True),
}

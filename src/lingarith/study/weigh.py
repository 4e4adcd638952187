"""The weight of an equation for one target, on the grounds that there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import LingarithError, did_you_mean
from ..model.backbone import Backbone
from ..store.store import Store
from ..vectors.composed import Composed
from ..vectors.realise import Composition
from . import choose
from .evaluate import Bench, Outcome
from .halving import Race
from .ingredients import Progress
from .plan import AdaptOptions, Grounds, Reading, notes_on, protocol_of, sources_of
from .records import ADD, ADD_SUBTRACT, UNCOUPLED, Choice

COMPOSED = (ADD, ADD_SUBTRACT, UNCOUPLED)


def weighed(
    equation: str,
    protocol: str,
    bench: Bench,
    terms: choose.Terms,
    grounds: Grounds,
    progress: Progress | None = None,
    keep: Callable[[float, list[Outcome]], None] | None = None,
) -> Choice:
    """The weight by a protocol: with labels by the options' search, without them on the grid.

    ``keep`` hears of each weight's outcomes on labelled examples as they come.
    """
    found: choose.Curve | Race
    if protocol == "unlabelled":
        found = _unlabelled(equation, bench, terms, grounds, progress)
    else:
        labels = grounds.validation
        plays = [(terms, labels[grounds.target])]
        if protocol == "sources":
            plays = choose.played(terms, [labels[source] for source in grounds.sources])
        search = choose.halved if grounds.options.search == choose.HALVING else choose.labelled
        found = search(bench, plays, equation, progress, keep)
    return choose.choice(grounds.target, terms, protocol, equation, found)


def _unlabelled(
    equation: str, bench: Bench, terms: choose.Terms, grounds: Grounds, progress: Progress | None
) -> choose.Curve:
    text, training = grounds.text(), grounds.options.language_training
    articles = choose.probe_articles(text, grounds.options.prompt)
    prefixes = choose.probe_prefixes(bench.backbone, text, articles, training.max_input)
    return choose.unlabelled(bench, terms, equation, articles, prefixes, training, progress)


def weigh(
    target: str,
    equation: str,
    backbone: Backbone,
    store: Store,
    options: AdaptOptions,
    *,
    progress: Progress | None = None,
) -> tuple[Choice, Sequence[str]]:
    """The weight of one equation for one target, and what a reader of it must know; nothing is trained.

    Vectors are those in the store, found by the names that their data give them (``xlsum[en]``,
    ``mc4[pt]``). Raises :class:`LingarithError` for an unknown equation or protocol, a vector or data
    that is not there, and a rank above that of the exact sum.
    """
    if equation not in COMPOSED:
        raise LingarithError(f"no equation named {equation!r}{did_you_mean(equation, COMPOSED)}")
    read = Reading(options, store.folder / "text", progress)
    task, text = read.names()
    sources, note = sources_of(target, options)
    terms = choose.Terms(
        tuple(f"{task}[{s}]" for s in sources), tuple(f"{text}[{s}]" for s in sources), f"{text}[{target}]"
    )
    vectors = {name: store.get(name, backbone.fingerprint) for name in (*terms.tasks, *terms.sources, terms.target)}
    validation = read.validation([target, *sources])
    protocol = protocol_of({target: sources}, options, validation)
    bench = Bench(backbone, vectors, options.space, options.decoding, options.score_model, sources)
    # Within the grid all vectors take part; at its ends some do not, and a sum of lower rank stays as it is.
    Composed(Composition(terms.at(equation, 0.5), vectors, options.space)).check_rank()
    beyond = read.held_out(target) if protocol == "unlabelled" else None
    notes = [*([note] if note else []), *notes_on(target, protocol, held_out=beyond is not None)]
    grounds = Grounds(target, sources, options, validation, lambda: beyond or read.plain(target))
    return weighed(equation, protocol, bench, terms, grounds, progress), notes

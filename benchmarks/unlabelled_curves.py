"""What candidates for choosing λ without target labels are judged by: all of it measured once, a JSON line a curve.

    lingarith run table1 --out runs/table1
    python benchmarks/unlabelled_curves.py --run runs/table1 --store lingarith-store --out curves.jsonl

A curve is one equation for one target. Beside test and validation scores of every weight, which the run has left in
its store, there is what a composition writes for 64 unlabelled articles of the target, how far it is from the task
expert there and from the language expert on held-out text, how well its outputs predict their articles, and what the
same composition with a task vector of another seed writes. :mod:`.unlabelled` reads it.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from search import curves_of, lab_of
from torch import Tensor

from lingarith import plain
from lingarith.algebra import Combination
from lingarith.inspection.measure import inspect
from lingarith.model.batches import Item, PrefixItems, collate, task_items
from lingarith.model.likelihood import reference_bits
from lingarith.study.choose import probe_articles, probed
from lingarith.study.outputs import Stored, Wanted
from lingarith.study.place import Method, Place
from lingarith.study.scoring import Outcome
from lingarith.study.study import READ_TASK
from lingarith.study.weights import neutral
from lingarith.text.labelled import Labelled, TaskExample
from lingarith.text.rows import fingerprint
from lingarith.vectors.composition import compose
from lingarith.vectors.vector import Update

TEXTS = 32
"""Articles and chunks of held-out text on which compositions are compared with the two experts."""
BACK = 24
"""Articles that outputs are to predict, cut to as many tokens as :data:`READ`."""
READ = 64
ROWS = 16
Rows = list[list[float]]
"""Of each weight (in rising order) a number for each article."""


@dataclass(frozen=True)
class Curve:
    """What was measured of an equation for a target; ``stock`` is Model Stock's t of the two task vectors.

    Rows that were left out are empty.
    """

    target: str
    method: str
    weights: list[float]
    test: Rows
    validation: Rows
    likelihood: Rows
    """Of the validation references: 100 · 2^(−bits per byte)."""
    right: Rows = field(default_factory=list)
    """1 for an output in the target language, else 0."""
    loss: list[float] = field(default_factory=list)
    """Nats a token on plain text, as the protocol ``unlabelled`` has it."""
    from_task: Rows = field(default_factory=list)
    """KL(task expert ‖ composition) on what the task expert writes, over its mean for the bare backbone."""
    from_language: Rows = field(default_factory=list)
    """KL(language expert ‖ composition) on held-out text, over its mean for the task expert alone."""
    own: Rows = field(default_factory=list)
    """Bits per byte that a composition finds in what the task expert writes for unlabelled articles."""
    own_bare: list[float] = field(default_factory=list)
    """The same of the bare backbone."""
    sizes: list[int] = field(default_factory=list)
    """Bytes of what the task expert writes for each article."""
    back: Rows = field(default_factory=list)
    """Bits per byte of an article that its own output saves, against another article's, under a fixed judge."""
    agreement: list[Rows] = field(default_factory=list)
    """Weight × voter × article: the task's metric of an output against the voter's. Voters are the curve's own weights,
    then the same weights with a task vector of another seed."""
    seeds_right: Rows = field(default_factory=list)
    stock: float | None = None
    number: int = 0
    """Its line in the file."""

    @property
    def neutral(self) -> int:
        """The place of the task vector alone."""
        return self.weights.index(neutral(self.method))


def read_curves(path: Path) -> list[Curve]:
    """The lines of a file, which may be packed by xz."""
    unpack: Callable[[bytes], bytes] = lzma.decompress if path.suffix == ".xz" else bytes
    rows = unpack(path.read_bytes()).decode().splitlines() if path.exists() else []
    return [plain.record(Curve, json.loads(row) | {"number": n}, f"{path}: line {n}") for n, row in enumerate(rows, 1)]


def measure(run: Path, store: Path, out: Path, whole: Collection[str], *, labels: bool) -> None:
    """Add the curves of a run to a file; those that are there are left.

    Of languages that are not in ``whole`` nothing is measured that only candidates need which those refuted; with
    ``labels`` nothing at all that needs none.
    """
    done = {(curve.target, curve.method) for curve in read_curves(out)}
    probe: Probe | None = None
    for place, method in curves_of(lab_of(run, store)):
        if (place.target, method.name) in done:
            continue
        curve = labelled(place, method)
        if not labels:
            probe = probe if probe and probe.place == place else Probe(place)
            curve = probe.added(curve, method, whole=not whole or place.target in whole)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(curve), ensure_ascii=False) + "\n")
        print(curve.target, curve.method, *(round(mean(row), 1) for row in curve.test), flush=True)


def labelled(place: Place, method: Method) -> Curve:
    """The curve of an equation as far as labels of the target tell it."""
    weights = sorted(float(weight) for weight in method.tried)
    tried, stored = [method.tried[weight] for weight in weights], Stored(place.lab)
    test, validation = (place.lab.labels(place.task, place.target, split) for split in ("test", "validation"))
    asked = ((place.task, test), (place.task, validation), (place.task + READ_TASK, validation))
    rows = [scores(stored.written(Wanted(task, examples, tried))) for task, examples in asked]
    return Curve(place.target, method.name, weights, rows[0], rows[1], rows[2])


class Probe:
    """A target with its experts, and what is asked of compositions there."""

    def __init__(self, place: Place) -> None:
        self.place, self.lab, self.stored = place, place.lab, Stored(place.lab)
        lab, (source, *_) = place.lab, place.sources
        self.task, self.again = (
            place.task_vector(source),
            lab.task(place.task, place.seed + 1, source, start=place.seed),
        )
        self.language = place.language_vector(place.target)
        self.text = probed(lab, place.target)
        self.articles = probe_articles(self.text, lab.asked(place.task))
        [wrote] = self.written([self.task])
        self.sizes = [len(o.output.encode()) for o in wrote]
        contents = fingerprint([self.articles.fingerprint, *(o.output for o in wrote)])
        examples = tuple(map(as_taught, self.articles.examples, wrote))
        self.taught = taught = replace(self.articles, examples=examples, fingerprint=contents)
        writing, length = lab.study.writing, lab.study.language_training.max_input
        items = task_items(lab.backbone, taught, max_input=writing.max_input, max_target=64)
        self.asked = [items.item(k, 0, k) for k in range(min(TEXTS, len(items)))]
        chunks = PrefixItems(lab.backbone, self.text, length)
        self.chunks = [chunks.item(k, 0, k) for k in range(min(TEXTS, len(chunks)))]
        self.by_task = self.logs(self.asked, self.update(self.task))
        self.by_language = self.logs(self.chunks, self.update(self.language))
        self.bare = mean(apart(self.by_task, self.logs(self.asked, None)))
        self.alone = mean(apart(self.by_language, self.logs(self.chunks, self.update(self.task))))
        (one, other) = (next(iter(vector.names)) for vector in (self.task, self.again))
        vectors = lab.vectors([one, other])
        cosine = float(inspect(self.task + self.again, vectors, ["delta"]).figures().cosines[one][other] or 0)
        self.scored: dict[tuple[str, str], float] = {}
        self.stock = 2 * cosine / (1 + cosine)  # K·c/(1 + (K − 1)·c) of K = 2

    def read(self, compositions: Sequence[Combination]) -> Rows:
        """Bits per byte of what the task expert writes."""
        read = self.stored.written(Wanted(self.place.task + READ_TASK, self.taught, compositions))
        return [[float(o.output) for o in outcomes] for outcomes in read]

    def update(self, composition: Combination) -> Update | None:
        return compose(composition, self.lab.vectors(composition.names), self.lab.study.sums.value).update()

    def written(self, compositions: Sequence[Combination]) -> list[list[Outcome]]:
        return self.stored.written(Wanted(self.place.task, self.articles, compositions))

    @torch.no_grad()
    def logs(self, items: Sequence[Item], update: Update | None) -> list[Tensor]:
        """Log-probabilities of every token at each place of each item's output: [(places, vocabulary)]."""
        backbone, rows = self.lab.backbone, list[Tensor]()
        with backbone.using(update):
            for start in range(0, len(items), ROWS):
                batch = collate(backbone, items[start : start + ROWS])
                logits = backbone.model(**batch.inputs, use_cache=False).logits.flatten(0, 1)[batch.taught]
                rows += torch.log_softmax(logits.float(), -1).split(batch.counts)
        return rows

    def back(self, outputs: Sequence[str]) -> list[float]:
        """What an output saves of its article's bits per byte, against the output for the next article."""
        articles = [example.article for example in self.articles.examples[:BACK]]
        cut = [str(self.lab.backbone.tokenizer.decode(ids[:READ])) for ids in self.lab.backbone.encode(articles)]
        own, next_ = outputs[:BACK], [*outputs[1:BACK], outputs[0]]
        with self.lab.backbone.using(self.update(self.language)):
            one, other = (
                reference_bits(self.lab.backbone, said(self.articles, texts, cut), READ) for texts in (own, next_)
            )
        return [b - a for a, b in zip(one, other, strict=True)]

    def added(self, curve: Curve, method: Method, *, whole: bool) -> Curve:
        """A curve with all that is measured without labels."""
        lab, tried = self.lab, [method.tried[weight] for weight in curve.weights]
        [name], [again] = self.task.names, self.again.names
        seeds = [Combination(tuple((again if n == name else n, c) for n, c in one.terms)) for one in tried]
        probes, others = (self.written(some) for some in (tried, seeds)) if whole else ([], [])
        updates = [self.update(one) for one in tried if whole]
        [bare] = self.read([Combination()])
        prefixes = replace(self.text, documents=[example.article for example in self.articles.examples])
        return replace(
            curve,
            right=right(probes),
            loss=self.stored.losses(prefixes, lab.study.language_training.max_input, tried),
            from_task=[over(apart(self.by_task, self.logs(self.asked, one)), self.bare) for one in updates],
            from_language=[over(apart(self.by_language, self.logs(self.chunks, one)), self.alone) for one in updates],
            own=self.read(tried),
            own_bare=bare,
            sizes=self.sizes,
            back=[over(self.back([o.output for o in outcomes])) for outcomes in probes],
            agreement=[[self.agreement(one, voter) for voter in (*probes, *others)] for one in probes],
            seeds_right=right(others),
            stock=round(self.stock, 4),
        )

    def agreement(self, one: Sequence[Outcome], voter: Sequence[Outcome]) -> list[float]:
        """The task's metric of each output against the voter's, 0..100; many are the same, and scored once."""
        scoring = self.lab.scoring(self.place.task)
        pairs = [(o.output, v.output) for o, v in zip(one, voter, strict=True)]
        if new := [pair for pair in dict.fromkeys(pairs) if pair not in self.scored]:
            outputs, references = [o for o, _ in new], [[v] for _, v in new]
            scores = scoring.metric.score(outputs, references, scoring.tokenizer(self.place.target))
            self.scored |= dict(zip(new, over(scores), strict=True))
        return [self.scored[pair] for pair in pairs]


def as_taught(example: TaskExample, wrote: Outcome) -> TaskExample:
    """An article with what was written for it as its reference."""
    return replace(example, target=wrote.output or ".")


def said(articles: Labelled, inputs: Sequence[str], targets: Sequence[str]) -> Labelled:
    """Texts that are to be predicted from others."""
    rows = tuple(TaskExample(str(k), one, two, one) for k, (one, two) in enumerate(zip(inputs, targets, strict=True)))
    return replace(articles, examples=rows)


def apart(expert: Sequence[Tensor], other: Sequence[Tensor]) -> list[float]:
    """KL(expert ‖ other) of each item, the mean over its places, in nats."""
    return [float((p.exp() * (p - q)).sum(-1).mean()) for p, q in zip(expert, other, strict=True)]


def scores(outcomes: Sequence[Sequence[Outcome]]) -> Rows:
    return [[o.score for o in row] for row in outcomes]


def right(outcomes: Sequence[Sequence[Outcome]]) -> Rows:
    return [[float(o.kind == "target") for o in row] for row in outcomes]


def over(values: Iterable[float], whole: float = 1.0) -> list[float]:
    return [round(float(value) / whole, 4) for value in values]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    """Measure the curves of a run that a file does not hold yet."""
    parser = argparse.ArgumentParser(description="what λ could be chosen by, on every curve of a run")
    parser.add_argument("--run", type=Path, required=True, help="the folder of a table1")
    parser.add_argument("--store", type=Path, default=Path("lingarith-store"), help="the store of that run")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, added to")
    parser.add_argument("--whole", nargs="*", default=(), help="languages of which all is measured; without it, of all")
    parser.add_argument("--labels", action="store_true", help="only what labels of the target tell")
    arguments = parser.parse_args()
    measure(arguments.run, arguments.store, arguments.out, arguments.whole, labels=arguments.labels)


if __name__ == "__main__":
    main()

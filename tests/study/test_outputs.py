"""Answers are made once, kept for all who ask, and counted without making them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import pytest

from lingarith.algebra import Combination, parse
from lingarith.disk.locks import alone
from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.batches import PrefixItems
from lingarith.model.options import TrainOptions
from lingarith.model.train import mean_loss
from lingarith.store.store import Store
from lingarith.study import outputs as module
from lingarith.study.lab import Lab
from lingarith.study.outputs import Counted, Stored, Wanted, key_of, label_languages, loss_key_of, mean
from lingarith.study.scoring import Outcome
from lingarith.text.labelled import Asked, Labelled
from lingarith.vectors.composition import Composition, Space

NOTHING = Combination()
SUM = parse("0.5*headlines[en] + 0.5*news[pt]")


@pytest.fixture
def one(lab: Callable[..., Lab], copied: Callable[[Lab], Store]) -> Lab:
    """A lab whose store has both vectors, of which nothing is written: outputs are not shared with other tests."""
    first = lab()
    named(first)
    own = lab(place=copied(first))
    named(own)
    return own


def named(lab: Lab) -> None:
    lab.task("summaries", 0, "en")
    lab.language(0, "pt")


def data(lab: Lab, split: str = "test", first: int | None = None) -> Labelled:
    found = lab.labels("summaries", "pt", split)
    return replace(found, examples=found.examples[:first])


Echo = list[tuple[int, list[str]]]


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Echo:
    """Outputs are the inputs; how many updates were asked for at a time, and for which inputs."""
    calls: Echo = []

    def write(
        _: Backbone, updates: Iterable[Any], asked: list[Asked], *__: Any, watch: Any = None
    ) -> Iterator[list[str]]:
        count, inputs = 0, [one.text for one in asked]
        for count, _update in enumerate(updates, 1):
            yield inputs
            if watch:
                watch(count * len(inputs))
        calls.append((count, inputs))

    monkeypatch.setattr(module, "generate_each", write)
    return calls


# ---------------------------------------------------------------- outputs


def test_what_is_kept_is_not_made_again(one: Lab, echo: Echo, lab: Callable[..., Lab]) -> None:
    wanted = Wanted("summaries", data(one), [NOTHING, SUM, NOTHING])
    nothing, both, again = Stored(one).written(wanted)
    assert [outcome.id for outcome in both] == [example.id for example in wanted.data.examples]
    assert [outcome.output for outcome in nothing] == [example.input for example in wanted.data.examples]
    assert nothing == again
    assert [(count, len(inputs)) for count, inputs in echo] == [(2, 4)]  # side by side, and each once
    other = lab(table="table1", place=one.store)  # another study finds it
    named(other)
    assert Stored(other).written(replace(wanted, compositions=[parse("headlines[en] / 2 + news[pt] / 2")])) == [both]
    assert len(echo) == 1
    assert [file.suffix for file in (one.store.folder / "outputs").iterdir()] == [".json"] * 2  # and no locks


def test_what_is_merged_otherwise_is_another_answer(one: Lab, lab: Callable[..., Lab]) -> None:
    study = lab(table="table1", place=one.store, space="delta")
    named(study)
    wanted = Wanted("summaries", data(study), [SUM])
    alone = parse("headlines[en]")
    keys = [
        [key_of(of, replace(wanted, sums={"merging": merging}), composition) for composition in (SUM, alone)]
        for of, merging in [(study, None), (study, "sum"), (study, "tsv"), (study, "tsv:keep=0.5")]
    ]
    assert len({both for both, _ in keys}) == 3
    assert len({task for _, task in keys}) == 1
    by_key = lab(table="table1", place=one.store, space="delta", merging="tsv")
    named(by_key)
    assert key_of(by_key, wanted, SUM) == keys[2][0]


def test_a_split_that_is_a_copy_of_another_keeps_its_ids(one: Lab, echo: Echo) -> None:
    test = data(one)
    copy = replace(test, split="validation", examples=tuple(replace(e, id=f"validation-{e.id}") for e in test.examples))
    [first] = Stored(one).written(Wanted("summaries", test, [SUM]))
    for outputs in (Stored(one), Counted(one)):
        [second] = outputs.written(Wanted("summaries", copy, [SUM]))
        assert [outcome.id for outcome in second] == [example.id for example in copy.examples]
        assert [replace(outcome, id="") for outcome in second] == [replace(outcome, id="") for outcome in first]
    assert len(echo) == 1


def test_more_examples_extend_what_is_there(one: Lab, echo: Echo) -> None:
    """As a race asks for them: the first few of all, then more of some."""
    stored = Stored(one)
    few = stored.written(Wanted("summaries", data(one), [NOTHING, SUM], first=1))
    assert [len(outcomes) for outcomes in few] == [1, 1]
    more = stored.written(Wanted("summaries", data(one), [SUM], first=3))
    assert [(count, len(inputs)) for count, inputs in echo] == [(2, 1), (1, 2)]
    all_ = stored.written(Wanted("summaries", data(one), [NOTHING, SUM]))
    assert [(count, len(inputs)) for count, inputs in echo[2:]] == [(1, 3), (1, 1)]
    assert (all_[0][:1], all_[1][:3]) == (few[0], more[0])
    assert [outcome.output for outcome in all_[1]] == [example.input for example in data(one).examples]
    assert stored.written(Wanted("summaries", data(one), [SUM], first=2)) == [all_[1][:2]]
    assert len(echo) == 4


def test_what_was_cut_otherwise_is_made_again(lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a prompt ends with words of its own and articles are too long; nothing else changes its key."""

    def key(**keys: Any) -> str:
        made = lab(table="table1", **keys)
        return key_of(made, Wanted("summaries", data(made), [NOTHING]), NOTHING)

    every: list[dict[str, Any]] = [
        {}, {"max_input": 16}, {"prompt": "{text} Resumo:", "max_input": 512}, {"prompt": "{text} Resumo:"},
    ]  # fmt: skip
    now = [key(**keys) for keys in every]
    monkeypatch.setattr(module, "cut_within", lambda *_: False)
    assert [one == key(**keys) for one, keys in zip(now, every, strict=True)] == [True, True, True, False]


def test_the_kinds_of_outputs_are_those_of_their_task(lab: Callable[..., Lab]) -> None:
    """What a task says it writes, and which text is the article, say which kind of output one is."""

    def key(**keys: Any) -> str:
        made = lab(table="table1", tasks=[{"task": "summaries"} | keys])
        return key_of(made, Wanted("summaries", data(made), [NOTHING]), NOTHING)

    assert key(writes="target") == key()
    assert len({key(), key(writes="en"), key(writes="sw")}) == 3


def test_what_was_written_stays_where_the_rest_is_stopped(
    one: Lab, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    def stop(_: Backbone, updates: Iterable[Any], asked: list[Asked], *__: Any, **___: Any) -> Iterator[list[str]]:
        yield [one.text for one in asked]
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "generate_each", stop)
    with pytest.raises(KeyboardInterrupt):
        Stored(one).written(Wanted("summaries", data(one), [NOTHING, SUM]))
    calls = request.getfixturevalue("echo")
    Stored(one).written(Wanted("summaries", data(one), [NOTHING, SUM]))
    assert [count for count, _ in calls] == [1]


def test_outputs_are_those_of_the_composition(one: Lab) -> None:
    """Whether they are written side by side or each by itself, as far as rounding lets them."""
    from lingarith.model.generate import generate

    vectors, examples = one.vectors(SUM.names), data(one)
    compositions = [parse(f"{lam}*headlines[en] + {1 - lam}*news[pt]") for lam in (0.1, 0.9)]
    heard: list[tuple[str, int, int]] = []
    one.progress = lambda *told: heard.append(told)
    found = Stored(one, "Add, pt, 1 of 2").written(Wanted("summaries", examples, compositions))
    assert heard[-1] == ("Add, pt, 1 of 2 (pt, test)", 8, 8)
    for composition, outcomes in zip(compositions, found, strict=True):
        with one.backbone.using(Composition(composition, vectors, Space("factors")).update()):
            alone = generate(one.backbone, [example.input for example in examples.examples], one.study.writing)
        assert [outcome.output for outcome in outcomes] == alone
    assert found[0] != found[1]


def test_what_another_process_writes_is_waited_for(one: Lab, idle: None) -> None:
    wanted = Wanted("summaries", data(one, first=1), [SUM])
    key = key_of(one, wanted, SUM)
    held, outcome = Event(), Outcome("test-0", "written elsewhere", 12.5, "target")

    def other() -> None:
        with alone(one.store.folder / key):
            held.set()
            one.store.keep(key, {"outcomes": [vars(outcome)]})

    thread = Thread(target=other)
    thread.start()
    held.wait()
    assert Stored(one).written(wanted) == [[outcome]]
    thread.join()


# ---------------------------------------------------------------- what an answer depends on


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        ({}, True),
        ({"choose_by": "oracle", "weights": (0.5,), "seeds": (0, 1), "targets": ("pt", "uk")}, True),
        ({"test_limit": 4, "validation_limit": 2}, True),
        ({"test_limit": 3}, False),
        ({"prompt": "tl;dr: {text}"}, False),
        ({"max_output": 5}, False),
        ({"beams": 2}, False),
        ({"steps": 4}, False),
        ({"space": "delta"}, False),
        ({"space": "delta", "rank_out": 1}, False),
        ({"tasks": [{"task": "summaries", "metric": "f1"}]}, False),
    ],
)
def test_a_key_says_what_outputs_depend_on(keys: dict[str, Any], same: bool, one: Lab, lab: Callable[..., Lab]) -> None:
    other = lab(**keys)
    named(other)
    name = next(name for name in other.orders if name.startswith("headlines"))
    language = next(name for name in other.orders if name.startswith("news"))
    composition = parse(f"0.5*{name} + 0.5*{language}")
    mine = key_of(one, Wanted("summaries", data(one), [SUM]), SUM)
    assert (key_of(other, Wanted("summaries", data(other), [composition]), composition) == mine) == same


def test_an_output_can_be_in_the_language_of_labels_that_stand_in_the_sum(one: Lab) -> None:
    assert label_languages(one, SUM) == ["en"]
    assert label_languages(one, parse("news[pt]")) == label_languages(one, NOTHING) == []


def test_a_damaged_file_is_named(one: Lab, echo: Echo) -> None:
    wanted = Wanted("summaries", data(one), [SUM])
    Stored(one).written(wanted)
    [file] = (one.store.folder / "outputs").iterdir()
    for content in ('{"outcomes": [{"id": "a"}]}', '{"outcomes": 3}', '{"outcome": []}', "{"):
        file.write_text(content)
        for outputs in (Stored(one), Counted(one)):
            with pytest.raises(LingarithError, match=rf"{file.name}.*; delete it and run the same command again"):
                outputs.written(wanted)
    file.unlink()
    assert Stored(one).written(wanted)


# ---------------------------------------------------------------- losses


def test_losses_are_made_once(one: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    text = one.held_out("pt")
    assert text is not None
    heard: list[tuple[str, int, int]] = []
    one.progress = lambda *told: heard.append(told)
    bare, both = Stored(one).losses(text, 24, [NOTHING, SUM])
    assert heard == [("judging on plain text of pt", 0, 2), ("judging on plain text of pt", 1, 2)]
    items, options = PrefixItems(one.backbone, text, 24), TrainOptions(max_input=24)
    assert bare == pytest.approx(mean_loss(one.backbone, items, options, limit=64))
    assert both != bare
    monkeypatch.setattr(module, "mean_loss", None)
    assert Stored(one).losses(text, 24, [SUM, NOTHING]) == [both, bare]
    assert loss_key_of(one, text, 24, SUM) != loss_key_of(one, text, 23, SUM)
    assert loss_key_of(one, text, 24, SUM) != loss_key_of(one, replace(text, fingerprint="0"), 24, SUM)


# ---------------------------------------------------------------- counting


def test_a_dry_run_counts_what_is_made_then(one: Lab, echo: Echo) -> None:
    validation, test = data(one, "validation"), data(one)
    asked = [Wanted("summaries", validation, [NOTHING, SUM], 2), Wanted("summaries", validation, [SUM]),
             Wanted("summaries", test, [SUM])]  # fmt: skip

    def ask(outputs: Any) -> Any:
        return outputs, [outputs.written(wanted) for wanted in asked]

    first, answers = ask(Counted(one))
    assert {outcome.score for answer in answers for outcomes in answer for outcome in outcomes} == {0.0}
    assert [len(outcomes) for answer in answers for outcomes in answer] == [2, 2, 4, 4]
    assert (sum(first.asked.values()), sum(first.lacking.values())) == (10, 10)
    assert not (one.store.folder / "outputs").exists()
    _, made = ask(Stored(one))
    assert sum(count * len(inputs) for count, inputs in echo) == 10
    second, read = ask(Counted(one))
    assert (sum(second.asked.values()), sum(second.lacking.values())) == (10, 0)
    assert read == made


def test_what_is_there_in_part_is_counted_in_part(one: Lab, echo: Echo) -> None:
    [made] = Stored(one).written(Wanted("summaries", data(one), [SUM], 1))
    counted = Counted(one)
    [outcomes] = counted.written(Wanted("summaries", data(one), [SUM]))
    assert outcomes[:1] == made
    assert ([*counted.asked.values()], [*counted.lacking.values()]) == ([4], [3])


def test_tests_of_methods_whose_weights_are_not_known_yet_count_each(one: Lab) -> None:
    """Until then all of them seem to be the task vector alone."""
    counted = Counted(one)
    for _ in range(3):
        counted.written(Wanted("summaries", data(one), [SUM]))
        counted.written(Wanted("summaries", data(one, "validation"), [SUM]))
    assert sorted(counted.lacking.values()) == [4, 4, 4, 4]
    assert sum(label.startswith("test ") for label in counted.asked) == 3


def test_losses_are_counted(one: Lab) -> None:
    text = one.plain("pt")
    first, second = Counted(one), Counted(one)
    assert first.losses(text, 24, [NOTHING, SUM]) == [0.0, 0.0]
    assert (sum(first.asked.values()), sum(first.lacking.values())) == (128, 128)
    made = Stored(one).losses(text, 24, [SUM])
    assert second.losses(text, 24, [NOTHING, SUM]) == [0.0, *made]
    assert (sum(second.asked.values()), sum(second.lacking.values())) == (128, 64)


def test_mean() -> None:
    assert mean([Outcome("a", "", 10.0, "target"), Outcome("b", "", 20.0, "other")]) == 15.0
    with pytest.raises(LingarithError, match="no examples"):
        mean([])

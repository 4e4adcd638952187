"""A lab: vectors named at once and had when they are needed, data read once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lingarith.algebra import parse, vector
from lingarith.errors import LingarithError, MissingData
from lingarith.model.backbone import Backbone
from lingarith.model.loading import wrap
from lingarith.store.store import Store
from lingarith.study import lab as module
from lingarith.study.lab import Lab
from lingarith.study.study import Study
from lingarith.vectors.composition import Composition, Space

Labs = Callable[..., Lab]


def name(combination: Any) -> str:
    [(name, weight)] = combination.terms
    assert weight == 1
    return str(name)


# ---------------------------------------------------------------- names


def test_vectors_are_called_as_the_store_calls_them(lab: Labs) -> None:
    one = lab(sources=("en", "ru"))
    assert name(one.task("summaries", 0, "en")) == "headlines[en]"
    assert name(one.task("summaries", 0, "en", "ru")) == "headlines[mul]"
    assert name(one.language(0, "pt")) == "news[pt]"
    assert name(one.random(0, "pt")) == "random[pt]"
    assert {key: order.stored for key, order in one.orders.items()} == {key: key for key in one.orders}
    assert [order.labels for order in one.orders.values()] == [("en",), ("en", "ru"), (), ()]


def test_a_name_means_one_training(lab: Labs) -> None:
    """Other seeds, rates, adapters, labels: other names, other recipes; and all names can stand in expressions."""
    one = lab("table6", sources=("en", "ru", "ar"), seeds=(0, 1), kronecker=(4, 2), adapter="lora", train_limit=2)
    made = [
        one.task("summaries", seed, *codes, rate=rate, adapter=adapter)
        for seed in (0, 1)
        for codes in (("en",), ("en", "ru"), ("ru", "ar"), ("en", "ru", "ar"))
        for rate in (None, 1e-5)
        for adapter in ("", "kronecker", "full")
    ] + [one.language(seed, code) for seed in (0, 1) for code in ("en", "pt")]
    made += [one.random(seed, "pt") for seed in (0, 1)]
    names = [name(each) for each in made]
    assert len({*names}) == len({*map(one.recipe, names)}) == len(names)
    assert all(parse(each) == vector(each) for each in names)
    assert name(one.task("summaries", 1, "en", rate=1e-5, adapter="full")) == "headlines.seed1.full.rate1em05[en]"
    assert name(one.task("summaries", 0, "en", rate=0.5)) == "headlines.seed0[en]"  # the usual rate


def test_tasks_that_share_a_name_of_vectors_have_vectors_of_their_own(lab: Labs) -> None:
    titles = {"task": "summaries", "name": "titles", "prompt": "title: {text}"}
    news = {"name": "news", "prompt": "{text}", "target": "summary"}
    one = lab(tasks=["summaries", titles, news])
    names = [name(one.task(task, 0, "en")) for task in ("summaries", "titles", "news")] + [name(one.language(0, "en"))]
    assert len({*names}) == len({*map(one.recipe, names)}) == 4
    assert [one.orders[each].stored for each in names] == ["headlines[en]", "headlines[en]", "news[en]", "news[en]"]
    inputs = [one.job(each).data.examples[0].input for each in names[:2]]  # type: ignore[union-attr]
    assert [text.partition(": ")[0] for text in inputs] == ["summarize", "title"]


def test_nothing_is_read_to_name_a_vector(lab: Labs) -> None:
    assert name(lab(labels="nowhere/{language}/{split}.csv").task("summaries", 0, "en")) == "summaries[en]"


def test_a_kronecker_that_does_not_fit_is_said_at_once(lab: Labs) -> None:
    with pytest.raises(LingarithError, match="m=3 does not divide the 16 inputs"):
        lab(kronecker=(3, 2), rank=None).task("summaries", 0, "en")


# ---------------------------------------------------------------- tensors


def test_vectors_are_had_once_and_by_all(lab: Labs, request: pytest.FixtureRequest) -> None:
    one = lab()
    names = [name(one.task("summaries", 0, "en")), name(one.random(0, "pt"))]
    made = one.vectors([*names, *names])
    assert [*made] == names
    assert all(map(one.is_there, [*names, "news[pt]"]))
    assert all(one.vectors([each])[each] is made[each] for each in names)
    request.getfixturevalue("idle")
    other = lab()
    other.task("summaries", 0, "en")
    other.random(0, "pt")
    assert {key: one.origin for key, one in other.vectors(names).items()} == {k: v.origin for k, v in made.items()}
    assert [other.content(each) for each in names] == [one.content(each) for each in names]


def test_a_random_vector_is_as_large_as_that_which_it_stands_for(lab: Labs) -> None:
    one = lab()
    like, random = name(one.language(0, "pt")), name(one.random(0, "pt"))
    both = one.vectors([like, random])
    sizes = [Composition(vector(each), both, Space("delta")).norm for each in both]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-4)
    assert both[random].origin["like"] == like
    assert both[random].origin["kind"] == "random"


def test_vectors_that_were_not_asked_for_lately_leave_memory(lab: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    one = lab()
    names = [name(one.language(0, code)) for code in ("pt", "en")] + [name(one.task("summaries", 0, "en"))]
    made = one.vectors(names)
    assert [*made] == names  # all that is asked for at once
    assert one.vectors(names[1:2])[names[1]] is made[names[1]]
    assert one.vectors(names[:1])[names[0]] is not made[names[0]]
    assert [*one._vectors] == [names[1], names[0]]


def test_recipes_that_another_process_worked_out_need_no_data(lab: Labs, idle: None) -> None:
    first = lab()
    first.task("summaries", 0, "en")
    given, other = (lab(labels="nowhere/{language}/{split}.csv") for _ in range(2))
    given.recipes["summaries[en]"] = first.recipe("headlines[en]")
    for one in (given, other):
        one.task("summaries", 0, "en")
    assert given.is_there("summaries[en]") == first.is_there("headlines[en]")
    with pytest.raises(MissingData, match=r"no file matches .nowhere"):
        other.is_there("summaries[en]")


# ---------------------------------------------------------------- vectors that are in the store


@pytest.mark.parametrize("method", ["name", "hash"])
def test_without_training_vectors_are_those_of_the_store(
    method: str, lab: Labs, copied: Callable[[Lab], Store], request: pytest.FixtureRequest
) -> None:
    first = lab()
    made = first.vectors([name(first.task("summaries", 0, "en"))])["headlines[en]"]
    given = lab(steps=9, place=copied(first))
    given.trains = False
    request.getfixturevalue("idle")
    short = f"headlines[en]@{first.content('headlines[en]')[:12]}"  # type: ignore[index]
    asked = given.task("summaries", 0, "en") if method == "name" else given.stored(short)
    assert name(asked) == {"name": "headlines[en]", "hash": short}[method]
    assert given.vectors(asked.names)[name(asked)].origin == made.origin
    assert given.said(0.5 * asked) == f"0.5*{name(asked)}"
    assert given.is_there(name(asked))


def test_a_random_vector_like_one_of_the_store(lab: Labs) -> None:
    first = lab()
    first.vectors([name(first.language(0, "pt"))])
    given = lab()
    given.trains = False
    random = name(given.random(0, "pt"))
    assert given.vectors([random])[random].origin["like"] == "news[pt]"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("px", r"no vector named 'news\[px\]' .*did you mean news\[pt\]"),
        ("p x", "'p x' is no language code; write one such as pt or zh-Hans"),
    ],
)
def test_a_vector_that_is_not_in_the_store(code: str, sentence: str, lab: Labs, copied: Callable[[Lab], Store]) -> None:
    first = lab()
    first.language(0, "pt")
    given = lab(place=copied(first))
    given.trains = False
    with pytest.raises(LingarithError, match=sentence):
        given.language(0, code)


# ---------------------------------------------------------------- how compositions are said


def test_a_composition_is_said_as_the_store_understands_it(lab: Labs, store: Store) -> None:
    one = lab(learning_rates=(0.1,))  # of the recipes that are named, whatever else the store calls so
    task, language = one.task("summaries", 0, "en"), one.language(0, "pt")
    one.vectors([*task.names, *language.names])
    assert one.said(0.5 * task + 0.5 * language) == "0.5*(headlines[en] + news[pt])"
    other = one.task("summaries", 0, "en", rate=0.1)  # of the same name in the store
    one.vectors(other.names)
    said = one.said(0.5 * task + 0.5 * other - language)
    digests = [f"headlines[en]@{one.content(name(each))[:12]}" for each in (task, other)]  # type: ignore[index]
    assert parse(said) == parse(f"0.5*{digests[0]} + 0.5*{digests[1]} - news[pt]")
    assert [store.resolve(each) for each in digests] == [one.content(name(each)) for each in (task, other)]


# ---------------------------------------------------------------- data


def test_labels_of_several_languages_stand_in_a_row(lab: Labs) -> None:
    one = lab(sources=("en", "ru"))
    both = one.labels("summaries", ("en", "ru"), "train")
    parts = [one.labels("summaries", code, "train") for code in ("en", "ru")]
    assert both.language == "mul"
    assert both.examples == parts[0].examples + parts[1].examples
    assert both.fingerprint not in {part.fingerprint for part in parts}
    assert one.labels("summaries", "en", "train") is parts[0]  # read once
    [job] = [one.job(each) for each in one.task("summaries", 0, "en", "ru").names]
    assert (job.data, job.validation) == (both, None)
    [alone] = [one.job(each) for each in one.task("summaries", 0, "en").names]
    assert alone.validation == one.labels("summaries", "en", "validation")


def test_limits_are_those_of_splits(lab: Labs) -> None:
    one = lab(train_limit=5, validation_limit=3, test_limit=2)
    sizes = {split: len(one.labels("summaries", "pt", split).examples) for split in ("train", "validation", "test")}
    assert sizes == {"train": 5, "validation": 3, "test": 2}


def test_languages_without_labels(lab: Labs) -> None:
    one = lab()
    assert one.has_labels("summaries", "pt", "test")
    assert not one.has_labels("summaries", "xx", "test")
    with pytest.raises(MissingData, match="the newsroom does not write 'xx'"):
        one.labels("summaries", "xx", "test")
    with pytest.raises(LingarithError, match=r"there is no source 'newsrom'; did you mean newsroom\?"):
        lab(labels="newsrom").has_labels("summaries", "pt", "test")


def test_a_race_sees_validation_examples_in_an_order_without_meaning(lab: Labs) -> None:
    """Each language's own, the same in every process; and other data, as far as outputs are kept."""
    plain, race, again, drawn = (
        lab(),
        lab(search="halving"),
        lab(search="halving"),
        lab(search="halving", sample_seed=1),
    )
    usual, mixed = (one.labels("summaries", "pt", "validation") for one in (plain, race))
    assert sorted(e.id for e in usual.examples) == sorted(e.id for e in mixed.examples)
    orders = [
        [e.id for e in one.labels("summaries", code, "validation").examples]
        for one, code in ((plain, "pt"), (race, "pt"), (race, "uk"), (drawn, "pt"))
    ]
    assert len({*map(tuple, orders)}) > 2
    assert mixed.fingerprint != usual.fingerprint
    assert again.labels("summaries", "pt", "validation") == mixed
    assert race.labels("summaries", "pt", "test") == plain.labels("summaries", "pt", "test")


def test_text_that_no_vector_is_trained_on(lab: Labs, tmp_path: Path) -> None:
    one = lab()
    held = one.held_out("pt")
    assert held is not None
    assert not {*held.documents} & {*one.plain("pt").documents}
    assert one.held_out("pt") is held
    [job] = [one.job(each) for each in one.language(0, "pt").names]
    assert (job.data, job.validation) == (one.plain("pt"), held)
    (tmp_path / "pt.txt").write_text("Choveu.\n")
    little = lab(text=f"{tmp_path}/{{language}}.txt")
    assert little.held_out("pt") is little.held_out("pt") is None
    assert little.plain("pt").documents == ("Choveu.",)


def test_what_comes_from_the_hub_is_told(lab: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGARITH_HUB", str(tmp_path))
    folder = tmp_path / "allenai/c4/multilingual"
    folder.mkdir(parents=True)
    for code in ("en", "pt"):
        with gzip.open(folder / f"c4-{code}.tfrecord-00000-of-00001.json.gz", "wt") as file:
            file.writelines(json.dumps({"text": f"{code} {k:03}"}) + "\n" for k in range(60))
    heard: list[tuple[str, int, int]] = []
    one = lab(text="mc4", characters=300, place=Store(tmp_path / "store"))
    one.progress = lambda *told: heard.append(told)
    texts = [one.plain(code) for code in ("en", "pt")]
    assert dict.fromkeys(what for what, _, _ in heard) == dict.fromkeys(
        f"fetching mc4 ({code}), characters" for code in ("en", "pt")
    )
    assert heard[-1][1:] == (330, 330)
    assert [len(text.documents) for text in texts] == [50, 50]


TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}[end]{% endfor %}[model]"


def decoder(tokens: PreTrainedTokenizerFast) -> Backbone:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    return wrap(LlamaForCausalLM(LlamaConfig(vocab_size=len(tokens), **sizes)), tokens, name="tiny")


@pytest.fixture
def tokens() -> PreTrainedTokenizerFast:
    made = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "<s>": 3, "a": 4}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>"
    )


def test_the_prompt_is_that_of_the_kind_of_backbone(
    study: Callable[..., Study], lab: Labs, tokens: PreTrainedTokenizerFast, store: Store
) -> None:
    on = decoder(tokens)
    assert lab(tasks="topics").asked("topics").task.prompt == "topic: {text}"
    assert Lab(study(tasks="topics"), store, given=on).asked("topics").task.prompt == "{text}\n\nTopic:\n"
    own = Lab(study(tasks="topics", prompt="{language_name}: {text} ->"), store, given=on)
    assert own.asked("topics").task.prompt == "{language_name}: {text} ->"
    assert Lab(study(tasks=[{"task": "topics", "prompt": "{text}!"}]), store, given=on).asked("topics").task.prompt == (
        "{text}!"
    )


def test_chat_templates(study: Callable[..., Study], tokens: PreTrainedTokenizerFast, store: Store) -> None:
    wanted = study(tasks="topics", prompt="In {language_name}: {text}", chat=True)
    with pytest.raises(LingarithError, match="tiny has no chat template; leave out --chat, or take a model tuned for"):
        Lab(wanted, store, given=decoder(tokens)).asked("topics")
    tokens.chat_template = TEMPLATE
    on = Lab(wanted, store, given=decoder(tokens))
    assert on.asked("topics").task.prompt == "[user]In {language_name}: {text}[end][model]"  # <s> stands there anyway
    assert on.labels("topics", "pt", "test").examples[0].input.startswith("[user]In Portuguese: ")
    for template, sentence in {"{{ nothing.at.all }}": "fails", "[model]": "leaves out a part of the prompt"}.items():
        tokens.chat_template = template
        with pytest.raises(LingarithError, match=f"the chat template of tiny {sentence}.*; leave out --chat"):
            Lab(wanted, store, given=decoder(tokens)).asked("topics")

"""Jobs: what changes a vector's tensors changes its recipe, and what was made once is not made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import Lora
from lingarith.disk.locks import alone
from lingarith.disk.remote import Remote
from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.progress import Progress, quiet
from lingarith.store.objects import vector_hash
from lingarith.store.store import Store
from lingarith.study import jobs
from lingarith.study.jobs import Job, fetching, obtain_all, steps_done
from lingarith.study.study import Study
from lingarith.text.corpora import PlainText
from lingarith.text.labelled import Labelled, TaskExample, filled, labelled
from lingarith.vectors.outline import FlatTensors, Lazy
from lingarith.vectors.vector import Vector

TEXT = PlainText("pt", "plain/{language}.txt", "text", ("Choveu toda a semana.", "A ponte abriu."), "f" * 64)
EXAMPLES = tuple(TaskExample(f"train-{k}", f"summarize: Bridge {k} opened.", f"Bridge {k}", "") for k in range(4))
LABELLED = Labelled("summaries", "en", "train", "summ/{language}/{split}.jsonl", EXAMPLES, "e" * 64)


Studies = Callable[..., Study]


@pytest.fixture
def job(study: Studies) -> Job:
    return Job(TEXT, study().training(0, labels=False))


def obtain(job: Job, backbone: Backbone, store: Store, progress: Progress = quiet) -> tuple[Vector, str]:
    return obtain_all([job], backbone, store, progress)[0][:2]


def have(job: Job, backbone: Backbone, store: Store) -> bool:
    return store.made(job.recipe(backbone)) is not None


def test_names() -> None:
    assert Job(TEXT, None).name == "text[pt]"  # type: ignore[arg-type]
    assert Job(LABELLED, None).name == "summaries[en]"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"checkpoint_every": 7}, True),
        ({"validate_every": 7}, True),
        ({"activation_checkpointing": True}, True),
        ({"adapter": Lora(2, 2.0)}, True),  # as studies have it, of which `adapt` may take vectors
        ({"adapter": Lora(2, 4.0)}, False),
        ({"adapter": Kronecker(2, 2)}, False),
        ({"steps": 4}, False),
        ({"projections": "all"}, False),
        ({"projections": "attention"}, True),
        ({"learning_rate": 0.1}, False),
        ({"seed": 1}, False),
        ({"init_seed": 1}, False),
    ],
)
def test_a_recipe_holds_what_the_tensors_depend_on(
    changed: dict[str, Any], same: bool, job: Job, backbone: Backbone
) -> None:
    other = replace(job, options=replace(job.options, **changed))
    assert (other.recipe(backbone) == job.recipe(backbone)) == same


def test_where_the_adapter_sits_is_told_only_where_the_paper_does_not_have_it(job: Job, backbone: Backbone) -> None:
    """Else vectors that were trained before there was a choice would not be found."""
    wide = replace(job, options=replace(job.options, projections="all"))
    assert "projections" not in job.options.facts
    assert wide.options.facts == job.options.facts | {"projections": "all"}


def test_other_data_are_another_recipe(job: Job, backbone: Backbone) -> None:
    assert replace(job, data=replace(TEXT, fingerprint="0" * 64)).recipe(backbone) != job.recipe(backbone)
    validated = [replace(job, validation=validation) for validation in (LABELLED, TEXT)]
    assert {other.recipe(backbone) for other in validated} == {job.recipe(backbone)}


def test_a_recipe_is_another_where_a_text_is_cut_within_its_input(
    job: Job, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And there alone: what was trained on inputs that fit, or that end with their text, is found."""

    def made(prompt: str, length: int) -> Job:
        asked = [filled(prompt, {"text": "Bridge opened. " * k}) for k in range(1, 5)]
        rows = tuple(TaskExample(f"{k}", one.text, "B", "", (), one.slots) for k, one in enumerate(asked))
        data = labelled("summaries", "en", "train", "here", rows, limit=None, seed=0)
        return Job(data, replace(job.options, max_input=length))

    every = [(made(prompt, length)) for prompt in ("s: {text}", "{text} Summary:") for length in (32, 512)]
    now = [one.recipe(backbone) for one in every]
    monkeypatch.setattr(jobs, "cut_within", lambda *_: False)
    before = [one.recipe(backbone) for one in every]
    assert [one == other for one, other in zip(now, before, strict=True)] == [True, True, False, True]


def test_a_half_type_that_was_asked_for_is_another_recipe(job: Job, backbone: Backbone) -> None:
    """Its numbers are others, which a backbone's fingerprint does not say."""
    halves = [replace(backbone, made={"weights": half}) for half in ("bfloat16", "float16")]
    assert len({job.recipe(one) for one in (backbone, *halves)}) == 3
    assert job.recipe(replace(backbone, made={"computed": "in float32"})) == job.recipe(backbone)


def test_what_training_ends_by_is_in_the_recipe(job: Job, backbone: Backbone) -> None:
    early = replace(job, options=replace(job.options, validate_every=2, patience=3), validation=TEXT)
    others = [
        job,
        early,
        replace(early, validation=LABELLED),
        *(replace(early, options=replace(early.options, **{name: 4})) for name in ("validate_every", "patience")),
    ]
    assert len({other.recipe(backbone) for other in others}) == 5


def test_a_vector_is_trained_once(
    job: Job, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    heard: list[tuple[str, int, int]] = []
    assert not have(job, backbone, store)
    vector, digest = obtain(job, backbone, store, lambda *what: heard.append(what))
    assert heard == [("training text[pt]", step, 3) for step in (1, 2, 3)]
    assert have(job, backbone, store)
    monkeypatch.setattr(jobs, "train", None)
    again, same = obtain(job, backbone, store)
    assert same == digest
    assert dict(again.origin) == dict(vector.origin)
    about = {"source": TEXT.source, "fingerprint": TEXT.fingerprint, "documents": 2}
    assert vector.origin["data"] == about | {"form": "NFC"}
    assert (vector.origin["kind"], vector.origin["language"], vector.origin["steps"]) == ("language", "pt", 3)
    assert (tmp_path / "objects" / digest / "log.jsonl").exists()
    assert not any((tmp_path / "training").iterdir())


def test_the_prompt_is_said_and_is_no_part_of_recipe_and_hash(job: Job, backbone: Backbone, store: Store) -> None:
    """The fingerprint of the data stands for it, so vectors from before it was said are found, and are the same."""
    before = replace(job, data=LABELLED)
    now = replace(job, data=replace(LABELLED, prompt="summarize: {text}"))
    assert now.origin()["prompt"] == "summarize: {text}"
    assert now.recipe(backbone) == before.recipe(backbone)
    first, second = (Vector("x", {}, 1.0, one.origin()) for one in (before, now))
    assert vector_hash(first) == vector_hash(second)


def test_the_form_of_text_is_no_part_of_a_recipe(job: Job, backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows in the fingerprint, so vectors of before are found where their text had that form already."""
    before = job.recipe(backbone)
    monkeypatch.setattr(jobs, "FORM", "another")
    assert job.origin()["data"]["form"] == "another"
    assert job.recipe(backbone) == before


def test_validation_loss_stands_in_the_log(backbone: Backbone, study: Studies, tmp_path: Path) -> None:
    held_out = replace(LABELLED, split="validation")
    _, digest = obtain(Job(LABELLED, study().training(0, labels=True), held_out), backbone, Store(tmp_path))
    assert "validation_loss" in (tmp_path / "objects" / digest / "log.jsonl").read_text()


def test_a_language_vector_has_a_validation_loss_too(job: Job, backbone: Backbone, tmp_path: Path) -> None:
    held_out = replace(TEXT, documents=("Rui abriu a ponte.",), fingerprint="0" * 64)
    _, digest = obtain(replace(job, validation=held_out), backbone, Store(tmp_path))
    last = json.loads((tmp_path / "objects" / digest / "log.jsonl").read_text().splitlines()[-1])
    assert last.keys() == {"step", "validation_loss"}
    vector, plain = Store(tmp_path).get("text[pt]"), obtain(job, backbone, Store(tmp_path / "other"))[0]
    assert vector_hash(vector) == vector_hash(replace(plain, origin=vector.origin))  # seen, not learnt


def test_a_damaged_vector_is_not_trained_over_in_silence(job: Job, backbone: Backbone, tmp_path: Path) -> None:
    _, digest = obtain(job, backbone, Store(tmp_path))
    tensors = tmp_path / "objects" / digest / "vector.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-4])
    with pytest.raises(LingarithError, match=r"vector\.safetensors is damaged: .*delete the folder"):
        obtain(job, backbone, Store(tmp_path))


def test_many_are_trained_in_one_pass_and_each_is_stored_when_it_is_finished(
    job: Job, backbone: Backbone, tmp_path: Path
) -> None:
    store, apart = Store(tmp_path / "together"), Store(tmp_path / "apart")
    other = replace(TEXT, language="en", fingerprint="1" * 64, documents=("It rained all week.", "A bridge opened."))
    longer = replace(job, options=replace(job.options, steps=5))
    jobs = [job, replace(longer, data=other), Job(LABELLED, job.options, LABELLED), job, longer]
    obtain(longer, backbone, store)
    heard: list[tuple[str, int, int]] = []
    there = []

    def listen(*what: Any) -> None:
        heard.append(what)
        there.append(have(job, backbone, store))

    found = obtain_all(jobs, backbone, store, listen, together=2)
    assert [vector.name for vector, *_ in found] == ["text[pt]", "text[en]", "summaries[en]", "text[pt]", "text[pt]"]
    assert found[0][1] == found[3][1] != found[4][1]
    assert {what for what, _, _ in heard} == {"training 3 vectors, 2 at a time"}
    assert [(done, total) for _, done, total in heard] == [(done, 11) for done in range(1, 12)]
    assert there == [False] * 6 + [True] * 5  # three steps of two, then the first of them is in the store
    for wanted, (vector, digest, _) in zip(jobs, found, strict=True):
        alone, _ = obtain(wanted, backbone, apart)
        for name, tensor in FlatTensors.of(alone).items():
            assert (FlatTensors.of(vector)[name] - tensor).norm() < 0.01 * tensor.norm() + 1e-6
        assert (store.folder / "objects" / digest / "log.jsonl").exists()
    assert not any((store.folder / "training").iterdir())


def test_full_fine_tuning_is_left_on_the_disk(study: Studies, backbone: Backbone, tmp_path: Path) -> None:
    """It is as large as the backbone, and a study has several."""
    full = study(space="delta", adapter="full", rank=None).training(0, labels=True)
    first, digest = obtain(Job(LABELLED, full), backbone, Store(tmp_path))
    again, same = obtain(Job(LABELLED, full), backbone, Store(tmp_path))
    assert digest == same == vector_hash(first)
    assert isinstance(first.rest, Lazy)
    assert {name: tensor.tolist() for name, tensor in first.rest.items()} == {
        name: tensor.tolist() for name, tensor in again.rest.items()
    }


def test_what_another_process_trains_is_waited_for(
    job: Job, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one holds the lock, and stores the vector when it hears that we wait."""
    store, (vector, digest) = Store(tmp_path / "ours"), obtain(job, backbone, Store(tmp_path / "theirs"))
    monkeypatch.setattr(jobs, "train", None)
    recipe, held, heard = job.recipe(backbone), Event(), Event()

    def other() -> None:
        with alone(store.folder / "training" / recipe):
            held.set()
            heard.wait()
            store.put(vector, recipe)

    thread = Thread(target=other)
    thread.start()
    held.wait()
    said: list[str] = []
    assert obtain(job, backbone, store, lambda what, *_: (said.append(what), heard.set()))[1] == digest
    thread.join()
    assert said == ["waiting for another process, which trains text[pt]"]
    assert not any((store.folder / "training").iterdir())


def test_another_machine_finds_what_the_first_trained(
    job: Job, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Store(tmp_path / name, Remote.at(f"memory:/{tmp_path}")) for name in ("one", "other"))
    _, digest = obtain(job, backbone, one)
    assert one.remote
    assert one.remote.sizes(f"objects/{digest}").keys() == {
        f"objects/{digest}/{file}" for file in ("vector.safetensors", "origin.json", "log.jsonl")
    }
    assert not one.remote.sizes("training")
    monkeypatch.setattr(jobs, "train", None)
    assert obtain(job, backbone, other)[1] == digest


def test_another_machine_goes_on_from_the_last_checkpoint(
    job: Job, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Store(tmp_path / name, Remote.at(f"memory:/{tmp_path}")) for name in ("one", "other"))
    job = replace(job, options=replace(job.options, steps=5, checkpoint_every=2))

    def stopped(_: str, done: int, __: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        obtain(job, backbone, one, stopped)
    heard: list[int] = []
    _, digest = obtain(job, backbone, other, lambda _, done, __: heard.append(done))
    assert heard == [3, 4, 5]
    assert obtain(job, backbone, Store(tmp_path / "apart"))[1] == digest
    monkeypatch.setattr(jobs, "train", None)
    assert obtain(job, backbone, one)[1] == digest
    lines = (other.folder / "objects" / digest / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert not (one.folder / "objects" / digest / "log.jsonl").exists()  # its own ends too early


class Stopped(Exception):
    pass


def test_stopped_between_training_and_putting_the_log_beside_the_vector(
    job: Job, backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    put = Store.put

    def put_and_stop(self: Store, *given: Any) -> str:
        put(self, *given)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", put_and_stop)
        with pytest.raises(Stopped):
            obtain(job, backbone, store)
    monkeypatch.setattr(jobs, "train", None)
    obtain(job, backbone, store)
    assert not list((store.folder / "training").iterdir())
    assert len(list(store.folder.glob("objects/*/log.jsonl"))) == 1
    assert store.verify() == []


def test_how_far_a_training_is(tmp_path: Path) -> None:
    """A step of each checkpoint stands in the log; what is stored has no folder any more."""
    store, log = Store(tmp_path), tmp_path / "training" / "3f" / "log.jsonl"
    assert steps_done(store, "3f") == 0
    log.parent.mkdir(parents=True)
    log.write_text('{"step": 5}\n{"step": 5, "validation_loss": 1}\n')
    assert steps_done(store, "3f") == 5
    log.write_text("")
    assert steps_done(store, "3f") == 0


def test_what_comes_from_the_hub_is_told() -> None:
    heard: list[tuple[str, int, int]] = []
    told = fetching("mc4", "pt", lambda *said: heard.append(said))
    told(500, 2000)
    told(700, None)
    assert heard == [("fetching mc4 (pt), characters", 500, 2000), ("fetching mc4 (pt), characters", 700, 0)]

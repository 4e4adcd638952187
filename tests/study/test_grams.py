"""Studies that merge by Gram matrices: made once for each vector, on what it was trained on, and told from others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lingarith.algebra import parse
from lingarith.disk.tensors import TensorFile
from lingarith.errors import LingarithError
from lingarith.model.backbone import Backbone
from lingarith.model.batches import collate
from lingarith.store.objects import GRAM
from lingarith.store.store import Store
from lingarith.study import grams as module
from lingarith.study.forecast import Forecast
from lingarith.study.grams import data_of, vectors_of
from lingarith.study.lab import Lab
from lingarith.study.lines import plan
from lingarith.study.outputs import Counted, Stored, Wanted, key_of
from lingarith.study.recipes import place_of
from lingarith.study.run import run
from lingarith.vectors.composition import Composition

Labs = Callable[..., Lab]
SUM = parse("0.6*headlines[en] + 0.4*(news[pt] - news[en])")
MERGED = {"space": "delta", "merging": "regmean"}


def named(lab: Lab) -> Lab:
    lab.task("summaries", 0, "en")
    for code in ("pt", "en"):
        lab.language(0, code)
    return lab


@pytest.fixture
def merging(lab: Labs, copied: Callable[[Lab], Store]) -> Lab:
    """A lab that merges by regmean, whose store has the vectors and no Gram matrix."""
    return named(lab(place=copied(named(lab())), **MERGED))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For each measuring the number of its tokens."""
    calls, measure = [], module.grams

    def noted(backbone: Backbone, items: Any, sizes: Any) -> Any:
        calls.append(sum(len(source) + len(target) for source, target in items))
        return measure(backbone, items, sizes)

    monkeypatch.setattr(module, "grams", noted)
    return calls


def files(lab: Lab) -> dict[str, Path]:
    """The files of Gram matrices by the names of vectors."""
    folders = {name: lab.store.folder / "objects" / (lab.content(name) or "") for name in lab.orders}
    return {name: folder / GRAM for name, folder in folders.items() if (folder / GRAM).exists()}


def test_made_once_and_found_by_all(merging: Lab, lab: Labs, measured: list[int]) -> None:
    hashes = {name: merging.content(name) for name in merging.orders}
    vectors = vectors_of(merging, [SUM], merging.study.sums.value)
    assert {name: len(vector.gram()) for name, vector in vectors.items()} == dict.fromkeys(hashes, 2 * 4 + 2 * 8)
    assert len(measured) == 3
    assert all(0 < tokens < module.TOKENS + 100 for tokens in measured)
    assert {name: merging.content(name) for name in merging.orders} == hashes
    again = named(lab(place=merging.store, **MERGED))
    vectors_of(again, [SUM], again.study.sums.value)
    assert len(measured) == 3
    assert merging.store.verify() == []
    for name, path in files(merging).items():
        about = TensorFile(path).metadata
        assert about["backbone"] == merging.backbone.fingerprint
        assert about["data"] == merging.job(name).data.fingerprint == data_of(merging, name)


def test_what_is_measured_are_the_inputs_on_the_bare_backbone(merging: Lab) -> None:
    path = merging.backbone.attention[0]
    vector = vectors_of(merging, [SUM], merging.study.sums.value)["news[pt]"]
    inputs: list[Tensor] = []
    handle = merging.backbone.linears[path].register_forward_pre_hook(lambda _, args: inputs.append(args[0][0]))
    for item in module._items(merging.job("news[pt]"), merging.backbone):
        with torch.no_grad():
            merging.backbone.model(**collate(merging.backbone, [item]).inputs)
    handle.remove()
    x = torch.cat(inputs)
    torch.testing.assert_close(vector.gram()[path], x.T @ x / len(x), rtol=1e-4, atol=1e-5)


def test_no_more_than_is_asked_for(merging: Lab, measured: list[int]) -> None:
    space = merging.study.sums.value
    vectors_of(merging, [parse("headlines[en]")], space)  # alone, it is merged with nothing
    vectors_of(merging, [SUM], replace(space, merging=None))
    assert not measured
    vectors_of(merging, [parse("headlines[en]"), parse("news[pt] + news[en]")], space)
    assert files(merging).keys() == {"news[pt]", "news[en]"}


def test_outputs_are_those_of_the_data_that_were_measured(merging: Lab, lab: Labs) -> None:
    wanted = Wanted("summaries", merging.labels("summaries", "pt", "test"), [SUM])
    before = key_of(merging, wanted, SUM)
    counted = Counted(merging)
    counted.written(wanted)
    assert len(counted.lacking) == 1
    assert not files(merging)  # a dry run makes none
    sizes = merging.backbone.shapes.values()
    [matrices] = [stage for stage in Forecast(merging, counted).stages() if stage.what == "Gram matrices"]
    assert (matrices.all, matrices.left, matrices.bytes) == (3, 3, 3 * sum(4 * inner**2 for _, inner in sizes))
    assert matrices.seconds > 0
    Stored(merging).written(wanted)
    assert key_of(merging, wanted, SUM) == before
    assert merging.store.has(before)
    plain = named(lab(place=merging.store, space="delta"))
    other = named(lab(place=merging.store, space="delta", merging="wudi"))
    assert len({key_of(one, wanted, SUM) for one in (merging, plain, other)}) == 3
    # Somebody measures it on something else: other outputs.
    other_text = lab(place=merging.store, characters=2000)
    module.measure_of(other_text, "news[pt]")
    assert module.OTHER_DATA.format("news[pt]") in other_text.notes
    assert key_of(merging, wanted, SUM) != before


def test_a_random_vector_has_that_of_the_language_it_stands_for(merging: Lab) -> None:
    (name,) = merging.random(0, "pt").names
    vectors = vectors_of(merging, [parse(f"headlines[en] + news[pt] + {name}")], merging.study.sums.value)
    path = merging.backbone.attention[0]
    assert torch.equal(vectors[name].gram()[path], vectors["news[pt]"].gram()[path])


def test_vectors_of_the_store_have_the_data_that_they_say(lab: Labs, merging: Lab) -> None:
    known = lab(place=merging.store, **MERGED)
    known.trains = False
    named(known)
    vectors_of(known, [SUM], known.study.sums.value)
    assert files(known).keys() == {*SUM.names}
    for path in files(known).values():
        path.unlink()
    others = lab(place=merging.store, **MERGED, characters=2000)  # not what news[pt] was trained on
    others.trains = False
    named(others)
    vectors = vectors_of(others, [SUM], others.study.sums.value)
    assert files(others).keys() == {"headlines[en]"}
    with pytest.raises(LingarithError, match=r"news\[pt\] has none; make it by `lingarith vectors gram"):
        Composition(SUM, vectors, others.study.sums.value)


def test_a_damaged_one_is_refused(merging: Lab) -> None:
    vectors_of(merging, [SUM], merging.study.sums.value)
    path = files(merging)["news[pt]"]
    content = bytearray(path.read_bytes())
    content[-33 - 32 * len(merging.backbone.shapes)] ^= 0x10  # the last number before the hashes, on a diagonal
    path.write_bytes(content)
    with pytest.raises(LingarithError, match="is not what was written; delete it and make it again"):
        Stored(merging).error(SUM, {})


def test_what_is_no_lora_has_none(lab: Labs) -> None:
    products = {"adapter": "kronecker", "kronecker": (4, 4)}
    for keys in (products, {"adapter": "full", "rank": None}):
        with pytest.raises(LingarithError, match=r"'regmean' merges LoRA alone, and (kronecker|full) is trained"):
            plan(lab(**MERGED, **keys))
    kronecker = lab(**products, space="delta")
    (name,) = kronecker.language(0, "pt").names
    [vector] = kronecker.vectors([name]).values()
    with pytest.raises(LingarithError, match=r"news\[pt\] is Kronecker 4 × 4, and Gram matrices are for LoRA alone"):
        module.measure(kronecker, kronecker.content(name) or "", vector, kronecker.job(name))


def test_a_whole_study(lab: Labs, tmp_path: Path) -> None:
    keys = {"weights": (0.5,), "betas": (0.5,), "max_output": 3, "controls": ("random",)}
    adapting = lab(place=Store(tmp_path / "store"), **MERGED, **keys)
    result = run(adapting, tmp_path / "out", together=1)
    assert {path.parent.name for path in files(adapting).values()} == {adapting.content(n) for n in adapting.orders}
    assert {record.method for record in result.records} == {"baseline", "add", "add_subtract", "uncoupled", "random"}
    about = json.loads((tmp_path / "out" / "pt" / "lingarith.json").read_text())
    assert about["space"] in ("delta", "delta, regmean:alpha=0.9,ridge=0.01")  # a vector alone is not merged
    place = place_of(adapting, "summaries", "pt", 0)
    [tried] = [method.tried for method in place.methods if method.name == "add_subtract"]
    assert Stored(adapting).error(tried[0.5], {}) == 0

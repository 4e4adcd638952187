"""What is handed over: adapters that PEFT loads, and that are the composition."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lingarith.algebra import parse
from lingarith.model.backbone import Backbone
from lingarith.store.store import Store
from lingarith.study.hand_over import hand_over, kronecker_size
from lingarith.study.lab import Lab
from lingarith.study.lines import plan
from lingarith.study.records import Choice
from lingarith.vectors.composition import compose
from lingarith.vectors.vector import Update

Labs = Callable[..., Lab]


def choice(method: str, weight: float, value: float, **keys: Any) -> Choice:
    alone = 0.0 if method == "uncoupled" else 1.0
    curve = sorted({weight: value, alone: 10.0}.items())
    return Choice("pt", method, "oracle", weight, value, "", curve, **{"task": "summaries"} | keys)  # type: ignore[arg-type]


@pytest.fixture
def handed(lab: Labs, tmp_path: Path) -> Callable[..., tuple[dict[str, str], Path]]:
    """``handed(choices, …)``: what is written of a study where these weights were chosen."""

    def make(choices: list[Choice], **keys: Any) -> tuple[dict[str, str], Path]:
        one = lab(weights=(0.5,), betas=(0.5,), **keys)
        plan(one)
        return hand_over(one, choices, "oracle", tmp_path / "out"), tmp_path / "out"

    return make


def update(about: dict[str, Any], store: Store) -> Update:
    """What the adapter adds to the backbone, by what stands beside it."""
    expression = parse(about["expression"])
    made = compose(expression, {name: store.get(name) for name in expression.names}, about["space"]).update()
    assert made is not None
    return made


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT's own
def test_the_adapter_loads_with_peft_and_is_the_composition(
    handed: Any, backbone: Backbone, store: Store, tiny_backbone: Path
) -> None:
    from peft import PeftModel
    from transformers import T5ForConditionalGeneration

    methods, out = handed([choice("add", 0.5, 11.0), choice("add_subtract", 0.5, 12.0), choice("uncoupled", 0.5, 9.0)])
    assert methods == {"pt": "add_subtract"}
    about = json.loads((out / "pt" / "lingarith.json").read_text())
    assert parse(about["expression"]) == parse("0.5*headlines[en] + 0.5*(news[pt] - news[en])")
    assert about["parents"] == {name: store.resolve(name) for name in parse(about["expression"]).names}
    assert about["prompt"] == "summarize: {text}"
    inputs: dict[str, Any] = {
        "input_ids": torch.tensor([[7, 8, 9, 10, 1]]),
        "decoder_input_ids": torch.tensor([[0, 11, 12]]),
    }
    adapted = PeftModel.from_pretrained(T5ForConditionalGeneration.from_pretrained(tiny_backbone), out / "pt").eval()
    with torch.no_grad():
        bare = backbone.model(**inputs).logits
        with backbone.using(update(about, store)):
            ours = backbone.model(**inputs).logits
        theirs = adapted(**inputs).logits
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-5)
    assert (ours - bare).abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT's own
def test_a_kronecker_adapter_loads_with_peft(handed: Any, backbone: Backbone, store: Store) -> None:
    from peft import PeftModel

    methods, out = handed([choice("add", 0.5, 11.0)], rank=None, kronecker=(4, 4))
    assert methods == {"pt": "add"}
    loaded = PeftModel.from_pretrained(copy.deepcopy(backbone.model), out / "pt")
    assert loaded.peft_config["default"].peft_type == "LOKR"
    added = update(json.loads((out / "pt" / "lingarith.json").read_text()), store)
    merged = loaded.merge_and_unload()
    for path, module in backbone.projections.items():
        torch.testing.assert_close(
            merged.get_submodule(path).weight - module.weight, added.delta(path), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    "choices",
    [
        [choice("add", 0.5, 9.0), choice("uncoupled", 0.5, 10.0)],
        [choice("add", 0.5, 20.0, seed=1)],  # the first seed counts
        [replace(choice("add", 0.5, 20.0), protocol="unlabelled")],  # and the study's protocol
        [],
    ],
)
def test_where_nothing_gains_the_task_vector_alone_is_handed_over(choices: list[Choice], handed: Any) -> None:
    methods, out = handed(choices, seeds=(0, 1))
    assert methods == {"pt": "baseline"}
    [name] = parse(json.loads((out / "pt" / "lingarith.json").read_text())["expression"]).names
    assert name.partition("@")[0] == "headlines[en]"


def test_controls_are_not_handed_over(handed: Any) -> None:
    methods, _ = handed([choice("scaled", 0.5, 20.0), choice("add", 0.5, 11.0)], controls=("scaled",))
    assert methods == {"pt": "add"}


def test_each_task_has_its_adapters(handed: Any) -> None:
    titles = {"task": "summaries", "name": "titles", "prompt": "title: {text}"}
    methods, out = handed([choice("add", 0.5, 11.0)], tasks=["summaries", titles])
    assert methods == {"summaries-pt": "add", "titles-pt": "baseline"}
    prompts = [json.loads((out / place / "lingarith.json").read_text())["prompt"] for place in methods]
    assert prompts == ["summarize: {text}", "title: {text}"]


@pytest.mark.parametrize(
    ("keys", "size"),
    [
        ({}, None),
        ({"rank": None, "kronecker": (4, 4)}, (4, 4)),
        ({"adapter": "lora", "kronecker": (4, 4)}, None),
        ({"space": "delta", "rank_out": 1, "kronecker_out": (4, 4)}, (4, 4)),
        ({"rank": None, "kronecker": (4, 4), "space": "delta", "rank_out": 2}, None),  # cut to LoRA
    ],
)
def test_what_peft_shall_hold(keys: dict[str, Any], size: tuple[int, int] | None, lab: Labs) -> None:
    one = lab(**keys)
    assert kronecker_size(one.study) == size
    plan(one)

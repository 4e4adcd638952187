"""Options: each is a key, a flag and a line of docs at once, and says by itself what is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from typing import Annotated, Any, get_args, get_origin

import pytest

from lingarith.errors import LingarithError
from lingarith.study.options import DataOptions, LanguageOptions, SumOptions, VectorOptions, must_vary
from lingarith.study.study import GROUPS, KEYS, keys_of
from lingarith.vectors.composition import Space


def test_every_option_says_what_it_is() -> None:
    for group in GROUPS.values():
        assert (group.__doc__ or "").startswith(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        for key, kind in keys_of(group).items():
            assert get_origin(kind) is Annotated, key
            _, help = get_args(kind)
            assert help == help.strip()
            assert help.endswith("."), key
            assert len(help) <= 120


def test_a_key_is_of_one_group() -> None:
    """But for how much is read, which training and writing share."""
    keys = [key for group in GROUPS.values() for key in keys_of(group)]
    assert len(keys) == len(KEYS) + 1
    assert keys.count("max_input") == 2


@pytest.mark.parametrize("group", GROUPS.values())
def test_options_are_values(group: type) -> None:
    one: Any = group()
    assert one == group()
    with pytest.raises(FrozenInstanceError):
        setattr(one, fields(group)[0].name, None)


def test_help_comes_at_once() -> None:
    """Options and studies are read without torch, transformers or numpy."""
    code = "import sys, lingarith.study.study; print(*({'torch', 'transformers', 'numpy'} & {*sys.modules}))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []


def test_what_files_call_fields() -> None:
    assert DataOptions(fields=("text=article", "summary=a=b")).columns == {"text": "article", "summary": "a=b"}
    assert DataOptions().columns == {}


@pytest.mark.parametrize("field", ["text", "=article", "text="])
def test_a_field_without_a_name(field: str) -> None:
    with pytest.raises(LingarithError, match=f"'fields' holds '{field}'; say which field is called how"):
        DataOptions(fields=(field,))


@pytest.mark.parametrize("key", ["train_limit", "validation_limit", "test_limit"])
def test_a_limit_leaves_something(key: str) -> None:
    with pytest.raises(LingarithError, match=f"{key} is 0; it must be at least 1"):
        DataOptions(**{key: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["newsroom", "mc4@3f2a", "a/{language}/{split}.jsonl"])
def test_data_that_vary(source: str) -> None:
    must_vary("labels", source, ("language", "split"))


def test_the_space_with_its_cut() -> None:
    assert SumOptions().value == Space("factors")
    assert SumOptions("delta", 2, (4, 2)).value == Space("delta", 2, (4, 2))


@pytest.mark.parametrize(
    ("keys", "kind"),
    [({}, "lora"), ({"kronecker": (4, 2)}, "kronecker"), ({"kronecker": (4, 2), "adapter": "lora"}, "lora"),
     ({"adapter": "full"}, "full")],
)  # fmt: skip
def test_the_adapter_that_is_trained(keys: dict[str, Any], kind: str) -> None:
    assert VectorOptions(**keys).kind == kind


def test_languages_without_targets() -> None:
    with pytest.raises(LingarithError, match="'targets' is empty; name at least one language, such as pt"):
        LanguageOptions(targets=())

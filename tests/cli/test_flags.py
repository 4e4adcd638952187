"""Flags from frozen options: which there are, what they hand over, and how help shows them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer

from lingarith.cli.flags import ALIASES, FREQUENT, flags, taken
from lingarith.cli.main import app
from lingarith.study.options import WorkOptions
from lingarith.study.study import GROUPS, KEYS, study_of


@dataclass(frozen=True)
class Kitchen:
    """Options of something else."""

    cups: Annotated[int, "How many."] = 2
    hot: Annotated[bool, "Or cold."] = False
    herbs: Annotated[tuple[str, ...], "One by one."] = ()


def typed(*groups: str | type, words: list[str], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a command with these flags is given."""
    heard: list[dict[str, Any]] = []

    @flags(*groups, without=without)
    def cook(given: dict[str, Any], steps: int = 7) -> None:
        heard.append(given | {"own": steps})

    one = typer.Typer(add_completion=False)
    one.command()(cook)
    one(words, standalone_mode=False)
    return heard[0]


def test_only_what_was_typed_is_given() -> None:
    assert typed("data", "training", words=[]) == {"own": 7}
    assert typed("data", "training", words=["--characters", "9", "--clip", "0.5"]) == {
        "characters": 9, "clip": 0.5, "own": 7,
    }  # fmt: skip
    assert typed("training", words=["--activation-checkpointing"])["activation_checkpointing"] is True


def test_a_parameter_of_the_command_is_its_own() -> None:
    assert typed("training", words=["--steps", "3"]) == {"own": 3}


@pytest.mark.parametrize("words", [["--seeds", "0,1"], ["--seeds", "0", "--seed", "1"]])
def test_lists_with_commas_and_by_repeating(words: list[str]) -> None:
    given = typed("seeds", words=words)
    assert given["seeds"] == "0,1"
    assert study_of("any", "adapt", {"seeds": given["seeds"]}).vectors.seeds == (0, 1)


def test_an_empty_list_is_one() -> None:
    given = typed("controls", words=["--controls", ""])
    assert study_of("any", "adapt", {"controls": given["controls"]}).choice.controls == ()


@pytest.mark.parametrize("text", ["32x16", "32×16", "32,16"])
def test_sizes(text: str) -> None:
    given = typed("vectors", words=["--kronecker", text])
    assert study_of("any", "adapt", {"kronecker": given["kronecker"]}).vectors.kronecker == (32, 16)


def test_line_breaks_of_prompts() -> None:
    assert typed("prompt", words=["--prompt", r"{text}\nIn short:"])["prompt"] == "{text}\nIn short:"


def test_options_of_another_class_are_taken_apart() -> None:
    given = typed(
        Kitchen, "space", words=["--cups", "3", "--hot", "--herbs", "mint", "--herbs", "a,b", "--space", "delta"]
    )
    assert taken(given, Kitchen) == Kitchen(3, True, ["mint", "a,b"])  # type: ignore[arg-type]
    assert given == {"space": "delta", "own": 7}


def test_what_is_left_out() -> None:
    with pytest.raises(Exception, match="No such option: --clip"):
        typed("training", words=["--clip", "1"], without=("clip",))


def parameters(*words: str) -> dict[str, Any]:
    """The options and arguments of a command by their names."""
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    return {parameter.name: parameter for parameter in command.params}


@pytest.mark.parametrize(("command", "own"), [("run", set()), ("adapt", {"targets"})])
def test_every_key_is_a_flag_with_its_help(command: str, own: set[str]) -> None:
    known = parameters(command)
    assert KEYS.keys() | WorkOptions.__dataclass_fields__.keys() <= known.keys()
    for key in KEYS.keys() - own:
        assert f"--{key.replace('_', '-')}" in known[key].opts
        assert known[key].help
    assert known["steps"].help.endswith("[default: 5000; newsroom: 200]")
    assert known["language_steps"].help.endswith("[default: newsroom: 100]")


@pytest.mark.parametrize(("command", "most"), [("adapt", 16), ("run", 19)])
def test_the_first_panel_is_short(command: str, most: int) -> None:
    """What people type, then what is the command's own, then --help; the rest stands in panels of its own."""
    options = [one for one in parameters(command).values() if one.param_type_name == "option"]
    first = [one.name for one in options if not one.rich_help_panel]
    assert len(first) + 1 <= most
    assert [name for name in first if name in KEYS] == [key for key in FREQUENT if key in first]
    assert set(FREQUENT) - set(first) <= {"targets"}  # the arguments of `adapt`
    assert {one.rich_help_panel for one in options} <= {None, "Work", *map(str.capitalize, GROUPS)}


def test_aliases_are_those_of_keys() -> None:
    assert ALIASES.keys() | set(FREQUENT) <= KEYS.keys()
    assert {"--task", "--tasks"} == set(parameters("evaluate")["tasks"].opts)


def test_commands_have_few_parameters_in_code() -> None:
    def commands(of: typer.Typer) -> list[Any]:
        groups = [one for group in of.registered_groups for one in commands(group.typer_instance)]  # type: ignore[arg-type]
        return [command.callback for command in of.registered_commands] + groups

    for command in commands(app):
        assert len(inspect.signature(inspect.unwrap(command)).parameters) <= 12, command

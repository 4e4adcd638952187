"""Flags from frozen options: which there are, what they hand over, and how help shows them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from lingarith.cli.flags import ALIASES, FREQUENT, flags, taken
from lingarith.cli.main import app
from lingarith.study.options import WorkOptions
from lingarith.study.study import GROUPS, KEYS, keys_of, study_of


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


OF_TABLES = {"variants", "full_learning_rate"}
"""Keys of studies whose tables `adapt` does not make."""


@pytest.mark.parametrize(("command", "own", "without"), [("run", set(), set()), ("adapt", {"targets"}, OF_TABLES)])
def test_every_key_is_a_flag_with_its_help(command: str, own: set[str], without: set[str]) -> None:
    known = parameters(command)
    assert (KEYS.keys() | WorkOptions.__dataclass_fields__.keys()) - known.keys() == without
    for key in KEYS.keys() - own - without:
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


# ---------------------------------------------------------------- no flag is taken and ignored

TASKS = {"tasks", "labels", "prompt", "targets"}
"""Keys that the tasks of a study are made of, which are read as a part of these."""
SMALL = ("--validation-limit", "2", "--max-output", "3")
ONCE = {
    ("choose",): [("pt", *SMALL, "--choose-by", by, *more) for by, *more in (
        ("oracle",), ("unlabelled",), ("oracle", "--search", "halving"), ("oracle", "--related", "uriel"),
    )],
    ("evaluate",): [("news[pt]", "pt", "--max-output", "3", f"--{split}-limit", "2", "--split", split)
                    for split in ("test", "validation")],
    ("generate",): [("news[pt]", "--file", "rows.jsonl", "--max-output", "3")],
    ("compose",): [("news[pt]",)],
    ("train", "language"): [("uk", "--characters", "500", "--on", "news[pt]"),
                            ("uk", "--characters", "500", "--kronecker", "2x2")],
    ("train", "task"): [("newsroom", "pt", "--train-limit", "6", *SMALL[:2], "--max-target", "8", "--on", "news[pt]")],
}  # fmt: skip
"""Runs of commands that between them come by all that their flags are about."""


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("words", ONCE, ids=" ".join)
def test_no_command_takes_a_flag_that_it_never_reads(
    words: tuple[str, ...],
    command: Callable[..., Any],
    store: Path,
    training: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the moment when a study is made, its options note which of their fields somebody asks for."""
    read: set[str] = set()
    made = study_of

    def noted(self: Any, name: str) -> Any:
        read.update({name} & keys_of(type(self)).keys())
        return object.__getattribute__(self, name)

    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"text": "Choveu."}\n')
    common = training if words[0] == "train" else training[-2:] if words[0] != "compose" else ()
    for more in ONCE[words]:
        with monkeypatch.context() as patch:

            def listened(*given: Any, patch: pytest.MonkeyPatch = patch) -> Any:
                study = made(*given)
                for group in GROUPS.values():
                    patch.setattr(group, "__getattribute__", noted)
                return study

            for module in ("composing", "making"):
                patch.setattr(f"lingarith.cli.{module}.study_of", listened)
            done = command(*words, *more, *common, "--store", store)
        assert done.code == 0, done.err
    options = {option for one in parameters(*words).values() for option in one.opts}
    assert {key for key in KEYS if f"--{key.replace('_', '-')}" in options} - TASKS - read == set()

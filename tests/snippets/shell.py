"""A shell that knows the programs of the pages, and runs them in this process, made small."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from huggingface_hub import constants

from lingarith.cli.main import main

from .pages import ROOT
from .stage import SMALL

PROGRAMS = {
    "tools.pretrain": "--languages=en --pages=300 --vocabulary=700 --width=32 --layers=1 --steps=2",
    "tools.export": "--out=exported",  # and not into the package
    "benchmarks/unlabelled.py": "",
    "benchmarks/unlabelled_curves.py": "",
}
"""Programs of this checkout, and what they get as well."""
NAMED = {
    "P": "look", "EXPRESSION": "headlines[en]", "FOLDER": "adapter", "NAME": "newsroom", "FINE-TUNED": "fine-tuned",
    "BASE": "base",
}  # fmt: skip
"""What stands for the reader's own in commands, and what is put there."""
ELSEWHERE = ("processes", "ray", "slurm")
"""Runners whose work is in processes that know nothing of this stage: what there is to do is told alone."""


class Shell:
    """Runs commands one after another; ``scripts`` are the snippets of Python by the names that commands give them."""

    def __init__(self, patch: pytest.MonkeyPatch, scripts: dict[str, str], arrays: dict[str, list[str]]) -> None:
        self.patch, self.scripts, self.arrays = patch, scripts, arrays

    def run(self, line: str) -> str:
        """What a command prints; it has to succeed."""
        if given := re.fullmatch(r"(\w+)='(.*)'", line):
            self.patch.setenv(*given.groups())
            return ""
        words = [word for part in shlex.split(line.replace(" …", ""), comments=True) for word in self.expanded(part)]
        into = None
        if len(words) > 2 and words[-2] == ">":
            *words, _, into = words
        printed = self.program(words)
        if into:
            Path(into).write_text(printed, encoding="utf-8")
        return printed

    def expanded(self, word: str) -> list[str]:
        if array := re.fullmatch(r"\$\{(\w+)\[@\]\}", word):
            return self.arrays[array[1]]
        return [NAMED.get(word) or os.path.expandvars(word)]

    def program(self, words: list[str]) -> str:
        if words[0] == "torchrun":  # of this process alone
            words = words[words.index("-m") + 1 :]
        match words[0].removeprefix(".venv/bin/"), words[1:]:
            case "lingarith", rest:
                return self.lingarith([*rest, *["--dry-run"] * any(runner in rest for runner in ELSEWHERE)])
            case "make", targets:
                return self.make(targets)
            case "diff", [one, other]:
                texts = [Path(name).read_text(encoding="utf-8").splitlines() for name in (one, other)]
                assert texts[0] == texts[1] != []
                return ""
            case "python", ["-m", name, *rest] if name in PROGRAMS:
                return self.called(name, rest)
            case "python", [name, *rest] if name in PROGRAMS:
                return self.called(name, rest)
            case "python", [name, *rest] if name in self.scripts:
                self.patch.setattr(sys, "argv", [name, *rest])
                return self.python(self.scripts[name])
        raise AssertionError(f"no test runs {shlex.join(words)}: see tests/snippets/shell.py, or NOT_RUN")

    def lingarith(self, words: list[str]) -> str:
        self.patch.setattr(sys, "argv", ["lingarith", *words])

        def command() -> None:
            with pytest.raises(SystemExit) as left:
                main()
            assert not left.value.code, f"lingarith {shlex.join(words)}"

        with self.patch.context() as online:
            online.setattr(constants, "HF_HUB_OFFLINE", words[0] != "push")  # that hub is this process
            return out_of(command)

    def usage(self, line: str) -> None:
        """A command of which parts may be left out, in brackets: all are known, and it runs without them."""
        words = shlex.split(line)
        least = words[: next((k for k, word in enumerate(words) if word.startswith("[")), len(words))]
        whole = [word.removeprefix("[") for word in words if word != "|"]
        whole = [word[:-1] if word.count("]") > word.count("[") else word for word in whole]
        with self.patch.context() as nothing:
            nothing.setattr("typer.core.TyperCommand.invoke", lambda *_: None)
            self.program(whole)
        self.run(shlex.join(least))

    def python(self, code: str) -> str:
        """What some Python prints, of which no more words are asked than of any study."""
        short = re.sub(r"(max_new_tokens=)\d+", rf"\g<1>{SMALL['max_output']}", code)
        return out_of(lambda: exec(short, {}))

    def make(self, targets: list[str]) -> str:
        """The commands ``lingarith`` of these targets; what installs and tests is not done."""
        told = subprocess.run(
            ["make", "--dry-run", "--always-make", *targets], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        mine = [line for line in told.splitlines() if line.startswith(".venv/bin/lingarith ")]
        return "".join(self.program(shlex.split(line)) for line in mine)

    def called(self, name: str, words: list[str]) -> str:
        self.patch.setattr(sys, "argv", [name, *words, *PROGRAMS[name].split()])
        if name.endswith(".py"):  # Python finds what lies beside a file that it runs
            self.patch.syspath_prepend(str((ROOT / name).parent))
            return out_of(lambda: runpy.run_path(str(ROOT / name), run_name="__main__"))
        module = __import__(name, fromlist=["main"])
        return out_of(module.main)


def out_of(act: Callable[[], object]) -> str:
    """What is printed meanwhile."""
    printed = StringIO()
    with redirect_stdout(printed):
        act()
    return printed.getvalue()

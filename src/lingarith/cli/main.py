"""The command ``lingarith``: thin doors to the library, one function each."""

from __future__ import annotations

import gc
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from .. import __version__
from ..algebra import parse
from ..errors import DO_LESS, LingarithError, out_of_memory, visible
from . import backbones, composing, exchange, languages, making, planning, playing, reporting, vectors
from .terminal import tell

USAGE: Any = typer.BadParameter.__base__
"""A command line that cannot be understood; typer gives the class no public name."""
STOPPED = 130
"""The exit code after Ctrl-C, and what typer returns then."""

app = typer.Typer(
    help="Language and task arithmetic: add and subtract small adapters to serve languages without labels.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (
    making.demo, making.adapt, making.run, reporting.report, planning.plan,
    composing.compose, composing.inspect, composing.choose, composing.evaluate, composing.generate,
    exchange.import_, exchange.export, exchange.push, playing.play, languages.related, languages.languages,
):  # fmt: skip
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(making.train, name="train")
app.add_typer(vectors.app, name="vectors")
app.add_typer(backbones.app, name="backbone")


def _version(wanted: bool) -> None:
    if wanted:
        tell(f"lingarith {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if _together() and context.invoked_subcommand != "train":
        raise LingarithError("torchrun is for `lingarith train` alone; run this command without it")


LIBRARIES = {
    # Threads that wait by spinning take the cores from each other where another process computes: on two cores
    # beside one busy process a step of training takes 8.7 s so, and 1.2 s with threads that sleep.
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""Variables that libraries read when they are loaded; what the user has set stays as it is."""


def main() -> None:
    """Run a command; a user's mistake is one sentence on stderr and exit code 2.

    SIGTERM ends it as Ctrl-C does, with exit codes 143 and 130.
    """
    for name, value in LIBRARIES.items():
        os.environ.setdefault(name, value)
    for stream in ("stdin", "stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed; the next file that is opened would take its place
            setattr(sys, stream, open(os.devnull, "r" if stream == "stdin" else "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a letter that a terminal or file has not ends no command
    # The objects of libraries stay: to look through them again and again takes an eighth of a dry run. What computes
    # has garbage collected as usual (model.memory.prepare).
    gc.set_threshold(100_000)
    with _signals() as came:
        try:
            code = _code()
        except BaseException:
            if not came:  # libraries make all sorts of errors of an interrupt that comes while they are loaded
                raise
            code = STOPPED
    if came:
        code = 128 + came[0]
    if code in (STOPPED, *(128 + number for number in came)):
        tell("stopped; the same command goes on from here", stderr=True)
    sys.exit(code)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """While open, SIGINT and SIGTERM raise KeyboardInterrupt; the numbers of those that came."""
    came: list[int] = []

    def stop(number: int, frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = {}
    with suppress(ValueError):  # not the first thread
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                before[number] = signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _code() -> int:
    """Run a command and say what is wrong; the exit code."""
    try:
        if wrong := next((word for word in sys.argv if not _is_text(word)), ""):
            raise LingarithError(f"'{wrong}' is not UTF-8, as texts and names of files must be; write it in UTF-8")
        words = [_minus(word) for word in sys.argv[1:]]
        code = int(app(words, prog_name="lingarith", standalone_mode=False) or 0)
        sys.stdout.flush()
        return code
    except LingarithError as mistake:
        return _failed(str(mistake))
    except USAGE as mistake:
        sentence = " ".join(mistake.format_message().split())
        command = mistake.ctx.command_path if mistake.ctx else "lingarith"
        # Without arguments the help was printed, and nothing is left to say.
        return _failed(f"{sentence.rstrip('.')}; see `{command} --help`") if sentence else 2
    except BrokenPipeError:
        # The reader of the output has enough (`lingarith vectors list | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as problem:
        if problem.strerror is None:
            raise
        where = f"{visible(str(problem.filename))}: " if problem.filename else ""
        return _failed(f"{where}{problem.strerror}; mend that and run the same command again")
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        return _failed(DO_LESS)
    except (typer.Abort, KeyboardInterrupt):
        return STOPPED


def _failed(sentence: str) -> int:
    if not _together() or os.environ["RANK"] == "0":
        tell(f"error: {sentence}", stderr=True)
    return 2


def _minus(word: str) -> str:
    """A word; where it is an expression that begins with a minus, with one that is no dash and begins no flag."""
    if re.match(r"-[^-]", word) and not re.fullmatch(r"-[\w.]+", word):  # such as -b, -bFOLDER and -1
        with suppress(LingarithError):
            parse(word)
            return f"\N{MINUS SIGN}{word[1:]}"
    return word


def _is_text(word: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in word)


def _together() -> bool:
    """Whether this is one of the processes that ``torchrun`` started."""
    return "TORCHELASTIC_RUN_ID" in os.environ

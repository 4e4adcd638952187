"""The command as a whole: help without heavy imports, and how mistakes and interruptions end."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import lingarith
from lingarith.cli import vectors
from lingarith.errors import LingarithError

HEAVY = ("torch", "transformers", "datasets", "matplotlib", "sentencepiece", "pyarrow", "rouge_score")
COMMANDS = (
    (), ("demo",), ("adapt",), ("train", "language"), ("train", "task"), ("vectors", "list"), ("vectors", "show"),
    ("vectors", "verify"), ("compose",), ("choose",), ("evaluate",), ("generate",),
)  # fmt: skip
PROBE = """
import contextlib, io, json, sys
import lingarith
from lingarith.cli.main import main
codes = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["lingarith", *words, "--help"]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as left:
            codes.append(left.code)
print(json.dumps([codes, [name for name in json.loads(%r) if name in sys.modules]]))
"""


def test_import_and_help_load_nothing_heavy() -> None:
    probe = PROBE % json.dumps(HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", probe, json.dumps(COMMANDS)], capture_output=True, text=True, check=True
    )
    codes, loaded = json.loads(done.stdout)
    assert codes == [0] * len(COMMANDS)
    assert loaded == []


def test_help_names_every_command(command: Callable[..., Any]) -> None:
    said = command("--help").out
    assert all(words[0] in said for words in COMMANDS if words)


def test_version(command: Callable[..., Any]) -> None:
    done = command("--version")
    assert (done.code, done.out) == (0, f"lingarith {lingarith.__version__}\n")


@pytest.mark.parametrize("words", [(), ("train",), ("vectors",)])
def test_without_a_command_the_help_is_shown(words: tuple[str, ...], command: Callable[..., Any]) -> None:
    done = command(*words)
    assert "Usage" in done.out + done.err
    assert "error" not in done.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("adapt",), "Missing argument 'TARGET…'; see `lingarith adapt --help`"),
        (("compose",), "Missing argument 'EXPRESSION'; see `lingarith compose --help`"),
        (("evaluate", "a[en]"), "Missing argument 'LANG'; see `lingarith evaluate --help`"),
        (("adpt", "pt"), "No such command 'adpt'"),
        (("adapt", "pt", "--steps", "many"), "Invalid value for '--steps'"),
        (("adapt", "pt", "--lambda", "0.5"), "No such option: --lambda"),
    ],
)
def test_a_command_line_that_cannot_be_understood(
    words: tuple[str, ...], sentence: str, fails: Callable[..., str]
) -> None:
    assert fails(*words).startswith(sentence)


@pytest.mark.parametrize(
    ("problem", "code", "said"),
    [
        (LingarithError("do this"), 2, "error: do this\n"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on from here\n"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/proc/x"),
            2,
            "error: /proc/x: Permission denied; mend that and run the same command again\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "error: No space left on device; mend that and run the same command again\n",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            2,
            "error: there is not enough memory; do less at a time (--together 1, --accumulation 4, "
            "--generate-batch 8, --max-input), and what is finished is not done again\n",
        ),
    ],
)
def test_how_a_command_ends(
    problem: BaseException, code: int, said: str, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(vectors, "open_store", fail)
    done = command("vectors", "list")
    assert (done.code, done.err) == (code, said)


@pytest.fixture
def heeded() -> Iterator[None]:
    """A shell starts what runs in its background with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("becomes", [None, SystemError("error return without exception set")])
def test_signals_end_a_command(
    name: str, code: int, becomes: Exception | None, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library makes of the interrupt."""
    before = signal.getsignal(signal.SIGTERM)

    def interrupted(*_: object) -> None:
        try:
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(5)
        except KeyboardInterrupt:
            raise becomes or KeyboardInterrupt from None

    monkeypatch.setattr(vectors, "open_store", interrupted)
    done = command("vectors", "list")
    assert (done.code, done.err) == (code, "stopped; the same command goes on from here\n")
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("problem", [RuntimeError("CUDA out of memory"), OSError("no number")])
def test_what_is_nobodys_mistake_keeps_its_traceback(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    from lingarith.cli.main import main

    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(vectors, "open_store", fail)
    monkeypatch.setattr(sys, "argv", ["lingarith", "vectors", "list"])
    with pytest.raises(type(problem)):
        main()


def test_a_reader_that_has_enough_is_no_error() -> None:
    """``lingarith --help | head -c1`` says nothing on stderr."""
    probe = "from lingarith.cli.main import main; main()"
    writer = subprocess.Popen(
        [sys.executable, "-c", probe, "adapt", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writer.stdout
    assert writer.stderr
    writer.stdout.close()
    assert writer.stderr.read() == ""
    writer.stderr.close()
    writer.wait()


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams(tmp_path: Path, closed: str) -> None:
    """What was to be said is said to nobody, and the exit code stays; no file takes the place of a stream."""
    there = [sys.executable, "-m", "lingarith", "vectors", "list", "--store", str(tmp_path)]
    code = subprocess.run(["bash", "-c", f'"$@" {closed}', "bash", *there], capture_output=True, text=True)
    assert (code.returncode, code.stderr) == (0, "")
    assert code.stdout == "" or "2>&-" in closed
    wrong = subprocess.run(["bash", "-c", f'"$@" {closed}', "bash", *there, "--no"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def test_torchrun_is_for_training_alone(
    command: Callable[..., Any], fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "any")
    monkeypatch.setenv("RANK", "0")
    assert fails("vectors", "list") == "torchrun is for `lingarith train` alone; run this command without it"
    monkeypatch.setenv("RANK", "1")
    assert command("vectors", "list").err == ""  # one process says it


@pytest.mark.parametrize("own", [{}, {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "7"}])
def test_threads_wait_without_spinning_unless_the_user_wants_it(own: dict[str, str]) -> None:
    probe = (
        "import os, sys; from lingarith.cli.main import main; sys.argv = ['lingarith', '--version']\n"
        "try: main()\nexcept SystemExit: print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'])"
    )
    unset = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, env=unset | own)
    wanted = " ".join(own.values()) or "passive 0"
    assert done.stdout.splitlines()[-1] == wanted


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-8"])
def test_letters_that_stdout_has_not(
    encoding: str, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect on Windows, a terminal of long ago: letters are replaced, and JSON has them all."""

    def said(*words: str) -> str:
        written = io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", io.TextIOWrapper(written, encoding))
            assert command(*words).code == 0
            return written.getvalue().decode(encoding)

    assert ("λ" if encoding == "utf-8" else "?") in said("choose", "--help")
    assert ("Volap?k" if encoding == "ascii" else "Volapük") in said("languages", "vo")
    assert json.loads(said("languages", "vo", "nb", "--json"))[0]["name"] == "Volapük"

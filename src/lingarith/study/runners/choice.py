"""The runners by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import LingarithError, did_you_mean
from .here import Here
from .processes import Processes
from .ray import Ray
from .slurm import Slurm
from .units import Runner

HERE = "here"
RUNNERS: dict[str, Callable[..., Runner]] = {HERE: Here, "processes": Processes, "ray": Ray, "slurm": Slurm}


def runner(
    name: str = HERE, *, workers: int | None = None, address: str | None = None, settings: Sequence[str] = ()
) -> Runner:
    """The runner of a name. ``address`` is Ray's, ``settings`` are Slurm's, as ``key=value``.

    Raises :class:`LingarithError` for an unknown name, fewer than one worker, what another runner
    takes, and a library that is not installed.
    """
    if name not in RUNNERS:
        raise LingarithError(f"no runner is named '{name}'{did_you_mean(name, RUNNERS)}")
    if workers is not None and workers < 1:
        raise LingarithError(f"--workers is {workers}; at least one has to do the work")
    given: dict[str, Any] = {"workers": workers, "address": address, "settings": dict(map(_setting, settings)) or None}
    takes = {HERE: (), "processes": ("workers",), "ray": ("workers", "address"), "slurm": ("workers", "settings")}
    for option, value in given.items():
        if value is not None and option not in takes[name]:
            able = " or ".join(other for other, options in takes.items() if option in options)
            flag = "slurm" if option == "settings" else option
            raise LingarithError(
                f"--{flag} says nothing to the runner '{name}'; choose --runner {able}, or leave it out"
            )
    return RUNNERS[name](**{option: value for option, value in given.items() if value is not None})


def _setting(text: str) -> tuple[str, int | str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise LingarithError(f"--slurm takes key=value, such as partition=gpu, and not '{text}'")
    return key, int(value) if value.isdecimal() else value

"""Losses of trainings in an experiment tracker, for those who ask for one; without one nothing of it is loaded.

Where a tracker keeps them is its own matter, by its own variables; here are four of them, a function each.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from ..errors import LingarithError, did_you_mean, first_sentence, optional

if TYPE_CHECKING:
    from ..model.members import Training

PROJECT = "lingarith"
TENSORBOARD = "TENSORBOARD_LOGGING_DIR"
"""The variable that names TensorBoard's folder, as transformers has it; ``tensorboard`` without it."""
SECONDS = 20
"""How long one may try to reach its server."""

Log = Callable[[dict[str, float], int], object]
"""Takes the numbers of a step, and the step."""
Opened = tuple[Log, Callable[[], object]]
"""What a run's numbers are given to, and what ends it."""


def _trackio(library: Any, name: str, facts: dict[str, Any]) -> Opened:
    run = library.init(os.environ.get("TRACKIO_PROJECT", PROJECT), name, config=facts, resume="allow", embed=False)
    library.context_vars.current_run.set(None)  # it is ended here, and not again when the process ends
    return run.log, run.finish


def _wandb(library: Any, name: str, facts: dict[str, Any]) -> Opened:
    if library.setup().settings.mode == "online" and not library.login(prompt=False):  # it would ask, and wait
        raise LingarithError("it has no key; `wandb login` keeps one, and WANDB_MODE=offline needs none")
    quiet = library.Settings(silent=True, init_timeout=SECONDS)
    run = library.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT), id=re.sub(r"[^\w.-]+", "-", name), name=name, config=facts,
        resume="allow", reinit="create_new", settings=quiet,
    )  # fmt: skip
    return run.log, run.finish


def _mlflow(library: Any, name: str, facts: dict[str, Any]) -> Opened:
    for variable, few in (("MAX_RETRIES", 2), ("TIMEOUT", SECONDS)):  # else it tries for minutes
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{variable}", str(few))
    client = library.MlflowClient()
    place = library.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)).experiment_id
    runs = client.search_runs([place], f"attributes.run_name = '{name}'", max_results=1)
    run = (runs[0] if runs else client.create_run(place, run_name=name)).info.run_id
    for key, value in facts.items():
        client.log_param(run, key, value)

    def log(numbers: dict[str, float], step: int) -> None:
        now = int(1000 * time.time())
        client.log_batch(run, [library.entities.Metric(key, value, now, step) for key, value in numbers.items()])

    return log, lambda: client.set_terminated(run)


def _tensorboard(library: Any, name: str, facts: dict[str, Any]) -> Opened:
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(os.path.join(os.environ.get(TENSORBOARD, "tensorboard"), name))
    writer.add_text("options", f"```json\n{json.dumps(facts, indent=1, default=str)}\n```")

    def log(numbers: dict[str, float], step: int) -> None:
        for key, value in numbers.items():
            writer.add_scalar(key, value, step)

    return log, writer.close


TRACKERS: Mapping[str, Callable[[Any, str, dict[str, Any]], Opened]] = {
    "trackio": _trackio, "wandb": _wandb, "mlflow": _mlflow, "tensorboard": _tensorboard,
}  # fmt: skip
"""Each by its name, which is that of its library too."""


class Tracker:
    """The runs of a tracker, one for each training that is going on; what fails in it is said, and ends it alone."""

    def __init__(self, name: str) -> None:
        """Raises :class:`LingarithError` for a tracker that is not known, or not installed."""
        if name not in TRACKERS:
            raise LingarithError(f"no tracker is named '{name}'{did_you_mean(name, TRACKERS)}")
        self.name, self._library, self._fails = name, optional(name), False
        self._runs: dict[str, Opened] = {}

    def log(self, training: Training, line: Mapping[str, float]) -> None:
        """Hand on what a step has put into the log of a training. A run goes on where it was, by its name."""
        name = f"{training.name}-{training.folder.name[:8]}"
        data = training.origin.get("data", {})
        facts = {"language": training.origin.get("language"), "source": data.get("source"), **training.options.facts}
        with self._alone():
            if self._fails:
                return
            if name not in self._runs:
                self._runs[name] = TRACKERS[self.name](self._library, name, facts)
            log, _ = self._runs[name]
            log({key: value for key, value in line.items() if key != "step"}, int(line["step"]))

    def close(self) -> None:
        """End the runs."""
        for name in [*self._runs]:
            _, end = self._runs.pop(name)
            with self._alone():
                end()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """What happens while open ends no training, and prints nothing into its results."""
        try:
            with redirect_stdout(io.StringIO()):
                yield
        except Exception as problem:
            if not self._fails:
                said = "warning: %s fails (%s); training goes on without it"
                logging.getLogger(__name__).warning(said, self.name, first_sentence(problem))
            self._fails = True

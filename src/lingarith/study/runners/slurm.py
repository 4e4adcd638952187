"""The work as job arrays of Slurm, submitted by submitit."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...disk.files import inside
from ...errors import LingarithError, in_a_line, optional
from .units import Runner, Share, Unit, Work, check, perform_order

WORKERS = 8
REQUEUES = 1000
"""How often a job may reach its limit of time and go on: each time it is further."""
POLL = 1.0
"""Seconds; submitit asks Slurm less often."""
GENERIC = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node")
"""What submitit takes for any kind of cluster; else a setting is Slurm's."""


class Slurm(Runner):
    """Array after array: what is ready is dealt out among ``workers`` jobs, and what it made is the next one's need.

    ``settings`` are submitit's, such as ``partition`` or ``timeout_min``; ``cluster`` may be ``local``,
    which runs the jobs here; an estimate needs neither. A job that reaches its limit of time, or has to
    give way, comes back and goes on from the last checkpoints. Raises :class:`LingarithError` without
    submitit; when it runs, without Slurm or for a setting that submitit does not know.
    """

    def __init__(self, workers: int | None = None, settings: Mapping[str, Any] | None = None) -> None:
        self.workers = workers or WORKERS
        self._submitit = optional("submitit", "slurm")
        given = {"timeout_min": 60, **(settings or {})}
        self._cluster = str(given.pop("cluster", "slurm"))
        if self._cluster not in ("slurm", "local"):
            raise LingarithError(f"no kind of cluster is named '{self._cluster}'; known are: local, slurm")
        self.elsewhere = self._cluster == "slurm"
        self._parameters = {key if key in GENERIC else f"slurm_{key}": value for key, value in given.items()}

    def run(self, work: Work) -> None:
        if self.elsewhere and not shutil.which("sbatch"):
            raise LingarithError(
                "there is no `sbatch` here; run this where jobs of Slurm are submitted, or try --slurm cluster=local"
            )
        executor = self._executor(work)
        done: list[Share] = []
        for wave in work.waves(self.workers):
            dealt = deal(wave, self.workers, work.seconds_of)
            jobs: list[Any] = []
            try:
                jobs += self._submitted(executor, [work.order(share) for share in dealt])
                self._follow(jobs, dealt, done, work)
            finally:
                for job in jobs:
                    if not job.done():
                        job.cancel(check=False)
            done += dealt

    def _submitted(self, executor: Any, orders: Sequence[str]) -> list[Any]:
        try:
            with executor.batch():
                return [executor.submit(Resumed(), text) for text in orders]
        except self._submitit.core.utils.FailedJobError as problem:
            said = in_a_line(problem).rstrip(".")
            raise LingarithError(f"Slurm took no job ({said}); change --slurm") from None

    def _follow(self, jobs: Sequence[Any], wave: Sequence[Share], done: Sequence[Share], work: Work) -> None:
        left = set(range(len(jobs)))
        while left:
            time.sleep(POLL)
            for k in [k for k in left if jobs[k].done()]:
                check([self._answer(jobs[k])])
                left.remove(k)
            ended = [share for k, share in enumerate(wave) if k not in left]
            work.tell([*done, *ended], [wave[k] for k in left])

    def _answer(self, job: Any) -> str:
        try:
            return str(job.result())
        except (self._submitit.core.utils.FailedJobError, self._submitit.core.utils.UncompletedJobError):
            return (
                f"job {job.job_id} ended without an answer (see {job.paths.stderr}); "
                "mend that and run the same command again, which goes on from there"
            )

    def _executor(self, work: Work) -> Any:
        folder = inside(work.lab.store.folder.resolve(), "jobs")
        limits = {f"{self._cluster}_max_num_timeout": REQUEUES}
        executor = self._submitit.AutoExecutor(folder / "%j", cluster=self._cluster, **limits)
        try:
            executor.update_parameters(name="lingarith", slurm_array_parallelism=self.workers, **self._parameters)
        except (NameError, AssertionError) as problem:
            first = str(problem).split("\n")[0].rstrip(".")
            raise LingarithError(f"submitit does not take these settings ({first}); change --slurm") from None
        return executor


class Resumed:
    """A share, begun again where it was when its job comes back: what it does not find in the store is left."""

    def __call__(self, text: str) -> str:
        return perform_order(text)

    def checkpoint(self, text: str) -> Any:
        """What submitit puts into the queue when the job must end."""
        return optional("submitit", "slurm").helpers.DelayedSubmission(self, text)


def deal(shares: Sequence[Share], count: int, seconds: Callable[[Share], float]) -> list[Share]:
    """Up to ``count`` shares that take about as long as each other: the longest first, to the least loaded."""
    dealt: list[list[Unit]] = [[] for _ in range(min(count, len(shares)))]
    loads = [0.0] * len(dealt)
    for share in sorted(shares, key=seconds, reverse=True):
        k = loads.index(min(loads))
        dealt[k] += share
        loads[k] += seconds(share)
    return list(dealt)

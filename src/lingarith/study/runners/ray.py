"""The work as tasks of Ray, on this machine or on a cluster that is there."""

from __future__ import annotations

import os
from typing import Any

import torch

from ...errors import LingarithError, optional
from .units import Runner, Share, Work, check, perform_order

RETRIES = 5
"""How often a share is begun again whose worker died."""
STORE_BYTES = 100 * 2**20
"""What Ray may keep in memory: nothing but texts goes through it."""


class Ray(Runner):
    """A task for each share, a wave at a time; Ray begins one again whose worker died.

    Without ``address`` a cluster of ``workers`` is started here, for this run. Raises
    :class:`LingarithError` when Ray is not installed, or no cluster answers at the address.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self._ray = optional("ray", "ray")
        self.address, self.elsewhere = address, bool(address)
        gpus = torch.cuda.device_count()
        self._kind = "GPU" if gpus else "CPU"
        self.workers = workers or gpus or 2
        if address or self._ray.is_initialized():
            self._connect()
            there = self._ray.cluster_resources()
            self._kind = "GPU" if there.get("GPU") else "CPU"
            self.workers = workers or max(1, int(there.get(self._kind, 1)))

    def run(self, work: Work) -> None:
        ray, started = self._ray, not self._ray.is_initialized()
        self._connect()
        done: list[Share] = []
        running: dict[Any, Share] = {}
        perform = ray.remote(num_cpus=1, num_gpus=int(self._kind == "GPU"), max_retries=RETRIES)(perform_order)
        try:
            for wave in work.waves(self.workers):
                running |= {perform.remote(work.order(share)): share for share in wave}
                while running:
                    ended, _ = ray.wait(list(running), num_returns=len(running), timeout=1)
                    check(ray.get(ended))
                    done += [running.pop(ref) for ref in ended]
                    work.tell(done, running.values())
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as problem:
            first = str(problem).split("\n")[0].rstrip(".")
            raise LingarithError(
                f"workers of Ray died {1 + RETRIES} times over one part ({first}); mend that and run the same command "
                "again, which goes on from there"
            ) from None
        finally:
            for ref in running:
                ray.cancel(ref, force=True)
            if started:
                ray.shutdown()

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what will be usual; it warns otherwise
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
        if not self.address:
            own = {"num_cpus": self.workers, "num_gpus": torch.cuda.device_count()}
            self._ray.init(**own, object_store_memory=STORE_BYTES, **quiet)
            return
        try:
            self._ray.init(address=self.address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as problem:
            first = str(problem).split("\n")[0].rstrip(".")
            raise LingarithError(
                f"no cluster of Ray answers at '{self.address}' ({first}); give its address as host:port, or auto"
            ) from None

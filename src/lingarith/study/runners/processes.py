"""The work in processes of this machine, one for each device."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from multiprocessing.queues import Queue

import torch

from ...errors import LingarithError
from .units import Runner, Share, Work, check, cores, perform_order

ON_CPU = 2
"""Workers where there is no GPU and none are asked for."""


class Processes(Runner):
    """Workers that are started once; a share goes to whichever is free."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or torch.cuda.device_count() or ON_CPU

    def run(self, work: Work) -> None:
        done: list[Share] = []
        running: dict[Future[str], Share] = {}
        others = multiprocessing.active_children()
        pool = self._pool()
        try:
            for wave in work.waves(self.workers):
                running |= {_submitted(pool, work.order(share)): share for share in wave}
                while running:
                    ended, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                    check([future.result() for future in ended])
                    done += [running.pop(future) for future in ended]
                    work.tell(done, running.values())
        except BrokenProcessPool:
            raise LingarithError(
                "a worker was ended from outside, perhaps for want of memory; the same command goes on from there, "
                "and fewer --workers need less memory"
            ) from None
        finally:
            for worker in multiprocessing.active_children() if running else ():
                if worker not in others:
                    worker.terminate()
            pool.shutdown(cancel_futures=True)

    def _pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        devices: Queue[str] = context.Queue()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
        names = visible.split(",") if torch.cuda.is_available() else [""]
        for k in range(self.workers):
            devices.put(names[k % len(names)])
        threads = max(1, cores() // self.workers)
        return ProcessPoolExecutor(self.workers, context, _begin, (devices, threads))


def _begin(devices: Queue[str], threads: int) -> None:
    """What a worker does first: take a device for itself, or its part of the processors."""
    device = devices.get()
    if device:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_the_first, daemon=True).start()


def _end_with_the_first() -> None:
    """End this worker when the process that started it is no more, however it died."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _submitted(pool: ProcessPoolExecutor, text: str) -> Future[str]:
    # Workers inherit that Ctrl-C is not theirs to hear: it ends this process, which ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(perform_order, text)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

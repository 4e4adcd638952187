"""Workers end when the process that started them is no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

FIRST = """
import multiprocessing, os, time

def work(devices, told):
    from lingarith.study.runners.processes import _begin  # the first needs none of it
    _begin(devices, 1)
    told.put(os.getpid())
    time.sleep(60)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    devices, told = context.Queue(), context.Queue()
    devices.put("")
    context.Process(target=work, args=(devices, told)).start()
    print(told.get(), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(FIRST)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, str(tmp_path / "first.py")]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        worker = int(first.stdout.readline())
        os.kill(first.pid, signal.SIGKILL)
    end = time.monotonic() + 20
    with suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.kill(worker, 0)
            time.sleep(0.05)
        os.kill(worker, signal.SIGKILL)
        pytest.fail("the worker is still there")

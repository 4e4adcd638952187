"""What is asked of a GPU, in ten minutes and one JSON file: ``make bench-gpu``.

    python benchmarks/gpu.py --minutes 10 --out gpu.json

Runs the other benchmarks with ``--device cuda``, the shortest first, each as long as time is left: a training step on
real shapes and vectors together against PEFT and the Trainer, a grid of λ and generation against PEFT. What did not
run is named, with why. Where there is no GPU that is all it says.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ON = ("--device", "cuda", "--dtype", "bfloat16")
COMMANDS = (
    ("generation.py", "--rounds", "2", "--examples", "64"),
    ("real_step.py", "--only", "gemma", "mt5", "--rounds", "2", "--steps", "4", *ON),
    ("real_step.py", "--only", "qwen", "--rounds", "2", "--steps", "4", *ON),
    ("together.py", *ON, "--only", "llama-1000", "--together", "1", "12", "--rows", "1", "--rounds", "1"),
    ("grid.py", *ON, "--backbone", "llama-1000", "--examples", "32"),
)


def main() -> None:
    """Run what there is time for; the exit code is 0 also where there is no GPU, since that is an answer."""
    parser = argparse.ArgumentParser(description="all that is asked of a GPU")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    asked = parser.parse_args()
    import torch

    facts: dict[str, Any] = {"torch": torch.__version__, "gpu": None, "results": [], "not run": []}
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    end = time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory() as folder:
        for number, (script, *words) in enumerate(COMMANDS):
            said, out = " ".join(("python", f"benchmarks/{script}", *words)), Path(folder) / f"{number}.json"
            left = end - time.monotonic()
            why = "there is no GPU" if facts["gpu"] is None else "no time was left" if left < 20 else ""
            if not why:
                command = [sys.executable, str(HERE / script), *words, "--out", str(out)]
                try:
                    done = subprocess.run(command, capture_output=True, text=True, timeout=left)
                    why = "" if done.returncode == 0 else f"it failed: {(done.stderr.splitlines() or ['?'])[-1]}"
                except subprocess.TimeoutExpired:
                    why = "time was over"
            if why:
                facts["not run"].append({"command": said, "why": why})
            else:
                facts["results"].append({"command": said} | json.loads(out.read_text()))
            print(f"{said}: {why or 'done'}", flush=True)
            asked.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()

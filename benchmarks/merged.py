"""A sum of adapters in the weights of a checkpoint, and the same sum as an adapter: lingarith against mergekit.

    python benchmarks/merged.py --mergekit PYTHON --rounds 3 --out merged.json

PYTHON is that of an environment with mergekit. The base is a random Llama (``--layers``, ``--width``), the adapters are
PEFT's LoRA of rank 4 on q, k, v and o. Each command is a process of its own, from the start of Python to its end; the
two sides and a synced copy of the base take turns, and counted are medians: seconds by the clock and of the processor,
the most memory, mapped files included and its own alone. What is written is held against base + Σ c·B·A in float64.

mergekit merges each adapter into the base by PEFT, keeps these models, and adds their differences
(``task_arithmetic``). ``again`` has them kept from before. ``careful`` computes in float32 where the base has a half
type. ``extract`` takes an adapter out of the merged model, of the sum's rank, from the projections alone; lingarith
writes it from the factors.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

RANK, SIDES = 4, ("q", "k", "v", "o")
QUIET = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}


def coefficients(count: int) -> list[float]:
    """One task vector, and language vectors that are added and subtracted."""
    return [0.6] + [0.4 if number % 2 else -0.4 for number in range(1, count)]


def make(place: Path, count: int, layers: int, width: int, dtype: str) -> None:
    """A checkpoint with a tokenizer, and adapters as PEFT saves them."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {"<unk>": 0, "</s>": 1} | {f"w{number}": number for number in range(2, 32000)}
    config = LlamaConfig(
        hidden_size=width, intermediate_size=width * 11 // 4, num_hidden_layers=layers, num_attention_heads=16,
        vocab_size=len(words), eos_token_id=1, bos_token_id=None, pad_token_id=1, dtype=dtype,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(place / "base")
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(place / "base")
    about = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": [f"{side}_proj" for side in SIDES]}
    for number in range(count):
        tensors = {}
        for path in (f"model.layers.{layer}.self_attn.{side}_proj" for layer in range(layers) for side in SIDES):
            tensors[f"base_model.model.{path}.lora_A.weight"] = torch.randn(RANK, width) / width**0.5
            tensors[f"base_model.model.{path}.lora_B.weight"] = 0.01 * torch.randn(width, RANK)
        (place / f"{number}").mkdir()
        save_file(tensors, place / f"{number}/adapter_model.safetensors", {"format": "pt"})
        named = {"task_type": "CAUSAL_LM", "base_model_name_or_path": str(place / "base")}
        (place / f"{number}/adapter_config.json").write_text(json.dumps(about | named))


def errors(place: Path, weights: list[float], folders: list[str]) -> dict[str, list[float]]:
    """How far each folder is from the sum: ‖error‖/‖ΔW‖ over all, and the largest of an entry."""
    import torch
    from safetensors import safe_open

    def held(folder: str) -> dict[str, Any]:
        files: list[Any] = [safe_open(file, "pt") for file in sorted((place / folder).glob("*.safetensors"))]
        return {name: file for file in files for name in file.keys()}  # noqa: SIM118, no dictionary

    def wide(parts: dict[str, Any], name: str) -> Any:
        return parts[name].get_tensor(name).double()

    def update(parts: dict[str, Any], name: str) -> Any:
        a, b = (f"base_model.model.{name.removesuffix('.weight')}.lora_{side}.weight" for side in "AB")
        return wide(parts, b) @ wide(parts, a) if a in parts else torch.zeros(())

    given = [held(f"{number}") for number in range(len(weights))]
    sides = {folder: held(folder) for folder in folders}
    squares, largest, whole = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, 0.0), 0.0
    for name in (base := held("base")):
        exact = sum(weight * update(parts, name) for weight, parts in zip(weights, given, strict=True))
        whole += float(torch.as_tensor(exact).square().sum())
        for folder, tensors in sides.items():
            error = (wide(tensors, name) - wide(base, name) if name in tensors else update(tensors, name)) - exact
            squares[folder] += float(error.square().sum())
            largest[folder] = max(largest[folder], float(error.abs().max()))
    return {folder: [(squares[folder] / whole) ** 0.5, largest[folder]] for folder in sides}


def timed(words: list[Any]) -> dict[str, float]:
    """Seconds by the clock and of the processor, and megabytes, of a command that is a process of its own."""
    os.sync()  # what the side before left to be written is not this one's
    began, own = time.perf_counter(), 0
    with tempfile.TemporaryFile() as told:
        child = subprocess.Popen(list(map(str, words)), stdout=told, stderr=told)
        while not (done := os.wait4(child.pid, os.WNOHANG))[0]:  # which gives its own memory, not all children's most
            status = Path(f"/proc/{child.pid}/status").read_text()
            own = max([own, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))])
            time.sleep(0.02)
        clock, child.returncode = time.perf_counter() - began, os.waitstatus_to_exitcode(done[1])
        if child.returncode:
            told.seek(0)
            raise SystemExit(f"{' '.join(map(str, words))}: {told.read().decode(errors='replace')[-3000:]}")
    seconds, most = done[2].ru_utime + done[2].ru_stime, done[2].ru_maxrss
    return {"processor": seconds, "clock": clock, "megabytes": most / 1000, "own": own / 1000}


def recipe(place: Path, weights: list[float], types: dict[str, str]) -> Path:
    """What mergekit-yaml reads."""
    parts = [{"model": f"{place}/base+{place}/{k}", "parameters": {"weight": one}} for k, one in enumerate(weights)]
    about = {"merge_method": "task_arithmetic", "base_model": f"{place}/base", "models": parts, **types}
    (file := place / f"{len(types)}.yaml").write_text(json.dumps(about))  # which is YAML too
    return file


def ways(place: Path, count: int, dtype: str, mergekit: str) -> dict[str, list[Any]]:
    """The commands in the order in which they take turns, by what they write."""
    weights, base = coefficients(count), place / "base"
    total = " + ".join(f"{weight:g}*x{number}" for number, weight in enumerate(weights)).replace("+ -", "- ")
    summed = [total, "--space", "delta", "--store", place / "store", "--out"]
    us, merge = [sys.executable, "-m", "lingarith"], [mergekit, "-m", "mergekit.scripts.run_yaml", "--quiet", "-j", "1"]
    plain, kept = recipe(place, weights, {"dtype": dtype}), ["--lora-merge-cache", place / "kept"]
    careful = recipe(place, weights, {"dtype": "float32", "out_dtype": dtype})
    exactly = ["--lora-merge-cache", place / "kept, careful", "--lora-merge-dtype", "float32"]
    extract = [mergekit, "-m", "mergekit.scripts.extract_lora", "--skip-undecomposable", "-j", "1"]
    found: dict[str, list[Any]] = {
        "ours": [*us, "export", *summed, place / "ours", "--format", "merged", "--backbone", base],
        "ours, adapter": [*us, "compose", *summed, place / "ours, adapter"],
        "mergekit": [*merge, *kept, plain, place / "mergekit"],
        "mergekit, again": [*merge, *kept, plain, place / "mergekit, again"],
        "mergekit, careful": [*merge, *exactly, careful, place / "mergekit, careful"],
        "mergekit, extract": [
            *extract, "--model", place / "mergekit", "--base-model", base, "--out-path", place / "mergekit, extract",
            "--max-rank", count * RANK, "-e", "embed_tokens|lm_head|mlp",
        ],
        "a copy": ["dd", f"if={base}/model.safetensors", f"of={place}/a copy", "bs=1M", "conv=fsync"],
    }  # fmt: skip
    return {name: words for name, words in found.items() if dtype != "float32" or "careful" not in name}


def compared(place: Path, asked: argparse.Namespace, count: int, dtype: str) -> dict[str, Any]:
    """A row for each command, and how far from the sum is what it writes."""
    alone = [sys.executable, __file__, "--alone"]
    timed([*alone, json.dumps(["make", str(place), count, asked.layers, asked.width, dtype])])
    importing = [sys.executable, "-m", "lingarith", "import", "--store", place / "store"]
    bound: list[list[Any]] = [["--backbone", place / "base"], *[["--like", "x0"]] * (count - 1)]
    imported = [timed([*importing, place / f"{k}", "--name", f"x{k}", *to]) for k, to in enumerate(bound)]
    words = ways(place, count, dtype, asked.mergekit)
    turns = {"ours, first import": imported[:1], "ours, each more": imported[1:]}
    for name in list(words) * asked.rounds:
        for old in (name, {"mergekit": "kept", "mergekit, careful": "kept, careful"}.get(name, "nothing")):
            shutil.rmtree(place / old, ignore_errors=True)
        turns.setdefault(name, []).append(timed(words[name]))
    what = json.dumps(["errors", str(place), coefficients(count), [name for name in words if name != "a copy"]])
    wrong = json.loads(subprocess.run([*alone, what], stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1])
    middle = {name: {key: median(one[key] for one in some) for key in some[0]} for name, some in turns.items() if some}
    return {name: row | {"turns": turns[name], "error": wrong.get(name)} for name, row in middle.items()}


def main() -> None:
    """Print a line for each command; write the same facts as JSON."""
    if sys.argv[1:2] == ["--alone"]:
        work, folder, *given = json.loads(sys.argv[2])
        print(json.dumps(globals()[work](Path(folder), *given)))
        return
    parser = argparse.ArgumentParser(description="a sum of adapters in a checkpoint: lingarith against mergekit")
    parser.add_argument("--mergekit", required=True, metavar="PYTHON", help="of an environment with mergekit")
    parser.add_argument("--adapters", type=int, nargs="+", default=[3])
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3, help="turns that each side takes")
    parser.add_argument("--out", type=Path, help="a JSON file")
    asked, found = parser.parse_args(), []
    os.environ |= QUIET
    for dtype in asked.dtypes:
        for count in asked.adapters:
            with tempfile.TemporaryDirectory(prefix="merged-") as place:
                os.environ["LINGARITH_CACHE"] = f"{place}/cache"
                rows = compared(Path(place), asked, count, dtype)
            found.append({"dtype": dtype, "adapters": count, "rows": rows})
            for name, row in rows.items():
                spread = "-".join(f"{end(turn['processor'] for turn in row['turns']):.1f}" for end in (min, max))
                far = "  lost {:.2e}, at most {:.1e}".format(*row["error"]) if row["error"] else ""
                said = f"{row['processor']:>6.1f} s of the processor ({spread}), {row['clock']:>6.1f} s;"
                said += f" {row['megabytes']:>6,.0f} MB, its own {row['own']:>6,.0f}{far}"
                print(f"{dtype:<8} {count:>2} {name:<20} {said}", flush=True)
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""How what lies in a folder is loaded and writes one output, as the folder's card shows it: a block that runs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from ..languages.codes import language_name
from ..newsroom import NEWSROOM

PEFT, TRANSFORMERS, GGUF, MLX = LIBRARIES = ("peft", "transformers", "gguf", "mlx")
"""What loads a folder, as the hub calls it."""
HERE = '"."  # this folder, or its name on the hub'
"""What a snippet loads from; pushing puts the repository's name there."""


def snippet(config: Mapping[str, Any], about: Mapping[str, Any], library: str = PEFT) -> str:
    """Python, or commands of a shell, as a block of Markdown; the arguments are those of :func:`.card.card`."""
    base = str(config["base_model_name_or_path"])
    prompt = str(about.get("prompt") or "{text}").replace("{language}", str(about.get("language", "")))
    if about.get("language"):
        prompt = prompt.replace("{language_name}", language_name(about["language"]))
    if library in (PEFT, TRANSFORMERS):
        lines = _python(base, prompt, config["task_type"] == "SEQ_2_SEQ_LM", adapter=library == PEFT)
        return "\n".join(["```python", *lines, "```"])
    text = shlex.quote(re.sub(r"{\w+}", "…", prompt))
    lines = _llama_cpp(base, text) if library == GGUF else _mlx(base, text)
    return "\n".join(["```sh", f"adapter={HERE}", _fetched('"$adapter"'), *lines, "```"])


def _python(base: str, prompt: str, both: bool, *, adapter: bool) -> list[str]:
    """``both`` says that the model has an encoder and a decoder; without ``adapter`` the folder is the model."""
    auto = f"AutoModelFor{'Seq2SeqLM' if both else 'CausalLM'}"
    filled = "".join(f'.replace("{{{slot}}}", "…")' for slot in dict.fromkeys(re.findall(r"{(\w+)}", prompt)))
    embedded = adapter and base == NEWSROOM
    place = (
        'str(resources.files("lingarith.newsroom") / "backbone")' if embedded else json.dumps(base, ensure_ascii=False)
    )
    model = f"{auto}.from_pretrained(base)"
    model = f"PeftModel.from_pretrained({model}, adapter)" if adapter else model
    return [
        *(["from importlib import resources", ""] if embedded else []),
        *(["from peft import PeftModel"] if adapter else []),
        f"from transformers import {auto}, AutoTokenizer",
        "",
        *([f"base = {place}", f"adapter = {HERE}"] if adapter else [f"base = {HERE}"]),
        "tokenizer = AutoTokenizer.from_pretrained(base)",
        f"model = {model}.eval()",
        f"text = {json.dumps(prompt, ensure_ascii=False)}{filled}",
        'inputs = tokenizer(text, return_tensors="pt")',
        'output = model.generate(input_ids=inputs["input_ids"], max_new_tokens=64, do_sample=False)[0]',
        *([] if both else ['output = output[inputs["input_ids"].shape[1] :]  # without what was read']),
        "print(tokenizer.decode(output, skip_special_tokens=True))",
    ]


def _llama_cpp(base: str, text: str) -> list[str]:
    """The base is converted by llama.cpp's own script, unless it is GGUF itself."""
    repository, _, file = base.partition(":")
    place, model = shlex.quote(base), "base.gguf"
    made = [_fetched(place), f"python convert_hf_to_gguf.py {place} --outfile {model}"]
    if base.lower().endswith(".gguf"):
        model = shlex.quote(file or base)
        made = [f"hf download {shlex.quote(repository)} {model} --local-dir ."] if file else []
    run = f'llama-completion -m {model} --lora "$adapter/adapter.gguf" -no-cnv --temp 0 -n 64 -p {text}'
    return [*made, run]


def _fetched(place: str) -> str:
    return f"[ -d {place} ] || hf download {place} --local-dir {place}"


def _mlx(base: str, text: str) -> list[str]:
    asked = f"--ignore-chat-template --temp 0 --max-tokens 64 --prompt {text}"
    return [f'mlx_lm.generate --model {shlex.quote(base)} --adapter-path "$adapter" {asked}']

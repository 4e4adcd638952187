"""Where snippets run: an empty folder with small data of the shape that pages speak of, tiny backbones, no network."""

from __future__ import annotations

import gzip
import importlib
import json
import multiprocessing.dummy
import re
import shutil
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
import transformers
from fsspec.implementations.memory import MemoryFileSystem
from huggingface_hub import constants

from lingarith.cli import composing, making, vectors
from lingarith.formats import checkpoints
from lingarith.model import loading, snapshot
from lingarith.newsroom import NEWSROOM
from lingarith.newsroom.pages import page
from lingarith.newsroom.rows import rows
from lingarith.newsroom.writer import LANGUAGES
from lingarith.play import page as playing
from lingarith.study import study
from lingarith.text import hub
from tools import pretrain

from .pages import ROOT

STUDY_OF = study.study_of

DECODER, ON_HUB = "decoder", "google/gemma-3-270m"
"""The folder of a backbone that reads and writes in one, and its name in the hub's cache."""
NEEDED = ("en", "pt", "yo", "so", "si", "ne", "vi", "uk", "fa", "mr", "gu", "zh")
"""Languages of the newsroom that commands on the pages ask for."""
REAL = {"en", "pt", "yo", "si"}
"""Of the real data a part of these languages."""
OTHERS = ("aa", "ab", "af", "ak")
"""Languages that stand for a thousand; what is in their files is Finnish."""
SMALL: Mapping[str, Any] = {
    "steps": 2, "language_steps": 2, "batch_size": 4, "max_input": 32, "max_target": 8, "max_output": 6,
    "characters": 2000, "train_limit": 16, "validation_limit": 4, "test_limit": 4, "weights": [0.7, 1.0],
    "betas": [0.1], "search": "grid", "seeds": [0], "controls": ["random"],
}  # fmt: skip
"""Keys of every study, whatever a command says of them."""
TARGETS, FIRST = 2, ("pt", "yo", "uk")
"""How many targets of a study are left, and which before others: those that the tiny tokenizers have most pieces of."""


class Bucket(MemoryFileSystem):
    """An object store in memory, under ``s3://`` and ``gs://``."""

    protocol = ("s3", "gs")
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).rpartition("://")[2])


def packed(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 1))


def as_lines(values: Any) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def write_data(folder: Path) -> None:
    """Labels and plain text of each language, in the folders that the pages name, and in the hub's layout."""
    for path in (ROOT / "data").glob("real/*/**/*.gz"):
        if REAL & set(re.split(r"[/.]", str(path.relative_to(ROOT)))):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                packed(folder / path.relative_to(ROOT), "".join(islice(file, 40)))
    for code in (*NEEDED, *OTHERS):
        written = "fi" if code in OTHERS else code
        assert written in LANGUAGES
        plain = as_lines({"text": page("pretrain", written, number)} for number in range(80))
        for place in ("plain", "unlabelled", "data/plain"):
            packed(folder / place / f"{code}.jsonl.gz", plain)
        texts = [json.loads(line)["text"] for line in plain.splitlines()]
        packed(folder / "data" / f"{code}.txt.gz", "".join(f"{text}\n" for text in texts))
        for split in ("train", "validation", "test"):
            labelled = [
                {"id": row["id"], "text": row["text"], "summary": row["summary"], "label": row["category"]}
                for row in rows(written, split, 40, ("text", "summary", "category"))
            ]
            for place in ("summ", "topics", "data/summ"):
                packed(folder / place / code / f"{split}.jsonl.gz", as_lines(labelled))
            if code not in OTHERS:
                on_hub(folder / "hub", code, split, plain, labelled)


def on_hub(root: Path, code: str, split: str, plain: str, labelled: list[dict[str, str]]) -> None:
    """The same as XL-Sum and mC4 have it."""
    there = hub.files("xlsum", code, split)
    path = root / there.dataset / there.filled.replace("*", "0000")
    path.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(labelled), path)
    if split == "train":
        there = hub.files("mc4", code)
        packed(root / there.dataset / there.filled.replace("*", "00000-of-00001"), plain)


def write_decoder(folder: Path, encoder_decoder: Path) -> None:
    """A random Llama of two layers: it has the pieces of the other backbone, and bytes for what is left."""
    made = json.loads((encoder_decoder / "tokenizer.json").read_text(encoding="utf-8"))
    made["model"]["vocab"] += [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
    made["model"]["byte_fallback"] = True
    parts = [{"type": "ByteFallback"}, made["decoder"], {"type": "Fuse"}]
    made["decoder"] = {"type": "Sequence", "decoders": parts}
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(made), encoding="utf-8")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        bos_token_id=1, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_models(folder: Path, backbone: Path) -> None:
    """The backbone under the name ``base``, and one that differs from it."""
    (folder / "base").symlink_to(backbone)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(backbone)
    with torch.no_grad():
        model.encoder.block[0].layer[0].SelfAttention.q.weight[0, 0] += 1
    model.save_pretrained(folder / "fine-tuned")
    transformers.AutoTokenizer.from_pretrained(backbone).save_pretrained(folder / "fine-tuned")
    write_decoder(folder / DECODER, backbone)
    for name, place in (("google/mt5-base", backbone), (ON_HUB, folder / DECODER)):
        cached = folder / "cache" / f"models--{name.replace('/', '--')}"
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text("a" * 40)
        shutil.copytree(place, cached / "snapshots" / ("a" * 40))


def set_stage(patch: pytest.MonkeyPatch, folder: Path, data: Path, backbone: Path) -> None:
    """Go into a folder where every backbone is tiny, studies are small, and nothing is served or fetched."""

    theirs, embedded = checkpoints.folder_of, str(checkpoints.folder_of(NEWSROOM))
    ours = {NEWSROOM: backbone, embedded: backbone, "gemma-3-270m": data / DECODER}

    for kind in (transformers.AutoTokenizer, transformers.AutoModelForSeq2SeqLM):
        read = kind.from_pretrained
        patch.setattr(kind, "from_pretrained", lambda name, read=read, **keys: read(ours.get(str(name), name), **keys))
    for module in (checkpoints, loading, snapshot):
        patch.setattr(module, "folder_of", lambda name, *more: ours.get(name) or theirs(name, *more))
    patch.setattr(constants, "HF_HUB_CACHE", str(data / "cache"))
    patch.setattr(constants, "HF_HUB_OFFLINE", True)
    for module in (study, making, composing, vectors):
        patch.setattr(module, "study_of", small_study)
    patch.chdir(folder)
    for path in data.iterdir():
        Path(path.name).symlink_to(path)
    patch.setenv("COLUMNS", "160")
    patch.setenv("LINGARITH_HUB", str(data / "hub"))
    patch.setattr("lingarith.text.corpora.NEWSROOM_PAGES", 20)
    patch.setattr("lingarith.text.corpora.HELD_OUT", 8)
    patch.setattr(playing, "gradio", lambda: SimpleNamespace(__version__="6"))
    patch.setattr(playing, "serve", lambda *_: None)
    patch.setattr("socket.create_server", lambda *_: SimpleNamespace(close=lambda: None))  # whoever has the port
    patch.setattr("ray.init", lambda **_: None)  # a cluster has answered
    patch.setattr("ray.cluster_resources", lambda: {"CPU": 2})
    known = importlib.import_module("fsspec.registry")._registry
    for protocol in Bucket.protocol:
        patch.setitem(known, protocol, Bucket)
    patch.setattr(Bucket, "store", {})
    patch.setattr(pretrain, "train_tokenizer", partial(pretrain.train_tokenizer, count=400))
    patch.setattr(pretrain.multiprocessing, "Pool", multiprocessing.dummy.Pool)
    patch.setattr(pretrain, "keep_memory", lambda: None)


def small_study(name: str, table: str, keys: Mapping[str, Any] | None = None, *where: str) -> study.Study:
    """The study with :data:`SMALL`, and with few of its targets."""
    STUDY_OF(name, table, keys, *where)  # what is asked for has to be a study
    given = dict(keys or {})
    targets = given.get("targets")
    if isinstance(targets, str):
        targets = study.SETS.get(targets) or targets.split(",")
    if targets:
        given["targets"] = sorted(targets, key=lambda code: code not in FIRST)[:TARGETS]
    small = dict(SMALL)
    if name == "typed":  # other programs read the same inputs whole
        del small["max_input"]
    return STUDY_OF(name, table, given | small, *where)

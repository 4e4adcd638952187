"""The kinds of files that are read: how a right one is made, how it is read, and which have a hash of their own."""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import torch

from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.algebra import parse
from lingarith.disk.kept import kept
from lingarith.formats.imported import backbone_of, on_backbone, open_adapter
from lingarith.formats.lokr import write_lokr
from lingarith.formats.peft import write_peft
from lingarith.model.backbone import Backbone
from lingarith.model.batches import task_items
from lingarith.model.chunks import tokenised
from lingarith.model.members import Member, Training
from lingarith.model.options import TrainOptions
from lingarith.report.findings import findings
from lingarith.report.page import page
from lingarith.report.runs import read_runs
from lingarith.report.writing import as_csv, as_latex, as_markdown
from lingarith.store.objects import GRAM, VOLATILE
from lingarith.store.store import Store
from lingarith.study.outputs import read_outcomes
from lingarith.study.run_folder import RunFolder
from lingarith.study.study import KEYS, read_study
from lingarith.text import hub
from lingarith.text.rows import read_rows, text_of
from lingarith.text.tasks import task_of
from lingarith.vectors.composition import Composition, Space
from lingarith.vectors.gram import gram_file
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Vector, content_hash
from tests.attack.mutations import ODD, Mutation, some_bytes, some_json, some_lines, some_tensors

Read = Callable[[], Any]
SHAPES = {f"encoder.block.{k}.layer.0.SelfAttention.{which}": (16, 16) for k in range(2) for which in "qv"}
RECIPE = "5e" * 32


@dataclass(frozen=True)
class Kind:
    """``make(folder, backbone)`` gives the files that are changed, one at a time, and what reads them.

    With ``hashed`` no change may be believed; ``share`` says how much of the work goes here.
    """

    name: str
    make: Callable[[Path, Backbone], tuple[list[Path], Read]]
    mutate: Mutation
    hashed: bool = False
    share: float = 1.0


def a_vector(name: str, seed: int = 0) -> Vector:
    random = torch.Generator().manual_seed(seed)
    start = Lora(2).init(SHAPES, 0)
    terms = {path: (LoraTerm(a, torch.randn(b.shape, generator=random)),) for path, (a, b) in start.items()}
    facts = {
        "kind": "language", "language": name[-3:-1], "data": {"source": "x", "fingerprint": "f" * 64, "documents": 3},
        "backbone": {"name": "tiny", "revision": None, "fingerprint": "ab" * 32, "parameters": 1000},
        "adapter": {"kind": "lora", "rank": 2, "alpha": None}, "init_seed": 0, "init_hash": "cd" * 32, "seed": 0,
        "steps": 3, "options": {"steps": 3}, "versions": {"torch": "x"}, "cost": {"seconds": 1.0, "tokens": 10},
    }  # fmt: skip
    return Vector(name, terms, 1.0, facts)


def a_store(folder: Path) -> Store:
    store = Store(folder / "store")
    store.put(a_vector("text[en]"), RECIPE)
    store.put(a_vector("text[pt]", 1), "0" * 64)
    return store


def seen(vector: Vector) -> Any:
    """What counts as the same vector."""
    lasting = {key: value for key, value in vector.origin.items() if key not in VOLATILE}
    return content_hash(FlatTensors.of(vector)), vector.scale, json.dumps(lasting, sort_keys=True)


def of_a_store(pattern: str) -> Callable[[Path, Backbone], tuple[list[Path], Read]]:
    """Files of a store, read by all that read vectors: by name, by recipe, listed and verified."""

    def make(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
        store = a_store(folder)

        def read() -> Any:
            store.entries()
            store.verify()
            by_recipe = store.by_recipe(RECIPE)
            return seen(store.get("text[en]")), seen(store.get("text[pt]")), by_recipe and seen(by_recipe)

        return sorted(store.folder.glob(pattern)), read

    return make


def inputs(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
    """A Gram matrix beside a vector."""
    store = a_store(folder)
    content, gram = store.resolve("text[en]"), torch.eye(16) + 1
    about = store.get("text[en]").origin["backbone"]["fingerprint"], "d" * 64, 40
    store.objects.put_gram(content, gram_file(dict.fromkeys(SHAPES, 16), ((path, gram) for path in SHAPES), *about))

    def read() -> Any:
        found = store.get("text[en]").gram()
        return getattr(found, "data", None), {path: matrix.tolist() for path, matrix in found.items()}

    return [store.folder / "objects" / content / GRAM], read


def answers(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
    store, key = Store(folder / "store"), f"outputs/{RECIPE}.json"
    store.keep(key, {"outcomes": [{"id": "1", "output": "x", "score": 12.5, "kind": "target"}] * 2})
    data = SimpleNamespace(examples=[SimpleNamespace(id="1"), SimpleNamespace(id="2")])

    def read() -> Any:
        store.verify()
        return read_outcomes(SimpleNamespace(store=store), key, data)  # type: ignore[arg-type]

    return [store.folder / key], read


def losses(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
    from lingarith.study import outputs

    store, key = Store(folder / "store"), f"losses/{RECIPE}.json"
    store.keep(key, {"loss": 2.5})

    def read() -> Any:
        kept = store.read(key, outputs.MEND)
        return None if kept is None else outputs._loss_in(kept, key)

    return [store.folder / key], read


def training(folder: Path, backbone: Backbone) -> tuple[list[Path], Read]:
    """A checkpoint and its log."""
    data = examples("newsroom", folder)
    options = TrainOptions(
        steps=6, batch_size=4, learning_rate=0.5, adapter=Lora(2), max_input=24, max_target=8, checkpoint_every=2
    )
    items = task_items(backbone, data, max_input=24, max_target=8)

    def member() -> Member:
        return Member(backbone, Training("x", items, options, folder, {"kind": "task"}))

    begun = member()
    for flat in begun.flat.values():
        flat.grad = torch.full_like(flat, 0.01)
    for _ in range(3):
        begun.update(1.0, torch.tensor(0.1))
        begun.log.append({"step": begun.step, "loss": 1.0})
    begun.save()

    def read() -> Any:
        now = member()
        state = dict(now.factors()) | {f"{key}.m": value for key, value in now._moments("exp_avg").items()}
        return content_hash(state), now.step, now.seconds, now.tokens, json.dumps(now.log)

    return [folder / "checkpoint.safetensors", folder / "log.jsonl"], read


def state(number: int) -> Callable[[Path, Backbone], tuple[list[Path], Read]]:
    def make(folder: Path, backbone: Backbone) -> tuple[list[Path], Read]:
        files, read = training(folder, backbone)
        return files[number : number + 1], read

    return make


def tokens(folder: Path, backbone: Backbone) -> tuple[list[Path], Read]:
    documents = ["Uma ponte nova foi aberta em Omã. " * 3] * 5

    def read() -> Any:
        found = tokenised(backbone, documents, 24, folder)
        return [found[k] for k in range(len(found))]

    read()
    return sorted(folder.iterdir()), read


def a_shard(folder: Path) -> tuple[Path, Read]:
    place = folder / "hub/allenai/c4/multilingual"
    place.mkdir(parents=True)
    rows = "".join(json.dumps({"text": f"página {k}"}) + "\n" for k in range(8))
    (place / "c4-yo.tfrecord-00000-of-00001.json.gz").write_bytes(gzip.compress(rows.encode()))

    def read() -> Any:
        shard = hub.materialised(hub.files("mc4", "yo"), ("text",), folder / "shards", root=folder / "hub")
        return shard.read_bytes()

    read()
    (shard,) = (folder / "shards").glob("*.jsonl")
    return shard, read


def shard_and_manifest(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
    shard, read = a_shard(folder)
    return [shard, shard.with_suffix(".json")], read


def half_a_shard(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
    shard, whole = a_shard(folder)
    seal, content = "", b""
    for line in shard.read_bytes().splitlines(keepends=True)[:5]:
        seal = hub._sealed(seal, line)
        content += f"{seal} ".encode() + line

    def read() -> Any:
        for path in (shard, shard.with_suffix(".json")):
            path.unlink(missing_ok=True)
        return whole()

    partial = shard.with_suffix(".local.partial")
    partial.write_bytes(content)
    return [partial], read


def cached(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
    import os

    def read() -> Any:
        before, os.environ["LINGARITH_CACHE"] = os.environ["LINGARITH_CACHE"], str(folder)
        try:
            return kept("x", {"a": 1}, lambda: [{"b": 2}, {"c": [3]}])
        finally:
            os.environ["LINGARITH_CACHE"] = before

    read()
    return list(folder.rglob("*.jsonl")), read


def adapter(kind: str, file: str) -> Callable[[Path, Backbone], tuple[list[Path], Read]]:
    """A folder of PEFT's, imported onto the backbone of a store."""

    def make(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
        store, place = a_store(folder), folder / "adapter"
        vectors = {"text[en]": store.get("text[en]")}
        origin = {"backbone": dict(vectors["text[en]"].origin["backbone"])}
        if kind == "LoRA":
            one = Composition(parse("text[en]"), vectors, Space("delta"))
            write_peft(one, place, base_model="tiny", task_type="SEQ_2_SEQ_LM", origin=origin)
        else:
            one = Composition(parse("text[en]"), vectors, Space("delta", 1, (4, 4)))
            write_lokr(one, place, base_model="tiny", task_type="SEQ_2_SEQ_LM", origin=origin)
        if file != "lingarith.json":
            (place / "lingarith.json").unlink()

        def read() -> Any:
            vector = open_adapter(place, "imported[en]")
            facts, projections, _ = backbone_of(vector, store, "text[en]")
            digest = store.put(on_backbone(vector, facts, projections))
            tensors, scale, _ = seen(store.get(digest))
            return tensors, scale

        return [place / file], read

    return make


def run_folder(file: str, form: str, paged: bool = False) -> Callable[[Path, Backbone], tuple[list[Path], Read]]:
    """What reports are made from, and all that they are."""

    def make(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
        spec = importlib.util.spec_from_file_location("runs", Path(__file__).parents[1] / "report/conftest.py")
        assert spec
        assert spec.loader
        runs = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(runs)
        run = runs.adapted(3) if form == "adapt" else runs.studied()
        out = RunFolder(folder / "run")
        out.open(run.about)
        out.add([*run.examples, *run.records, *run.choices, *run.ingredients])

        def read() -> Any:
            found = {name: findings(one, draws=3) for name, one in read_runs([out.path]).items()}
            texts = [as_csv(found), page(*found.values()) if paged else ""]
            for one in found.values():
                texts += [as_markdown(one.tables, one.sentences), as_latex(one.tables, one.sentences)]
            return texts

        return [out.path / file], read

    return make


def examples(source: str, folder: Path) -> Any:
    from lingarith.text.tasks import examples as examples_of

    return examples_of(task_of("summaries"), source, "en", "train", limit=8, folder=folder)


def data(ending: str) -> Callable[[Path, Backbone], tuple[list[Path], Read]]:
    """Rows of a user's file."""
    rows = [{"id": f"{k}", "text": f"Texto número {k} — ü 漢字 “q”", "summary": f"Resumo {k}"} for k in range(9)]

    def make(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
        path = folder / f"en-train{ending}"
        if "json" in ending:
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        elif "csv" in ending:
            content = "id,text,summary\n" + "".join(",".join(row.values()) + "\n" for row in rows)
            content = content.encode()
        else:
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
            content = path.read_bytes()
        path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)

        def read() -> Any:
            return [text_of(row, "text", f"{path}, {n}") for n, row in read_rows(path, ("text",))]

        return [path], read

    return make


def a_text(
    name: str, texts: list[str], take: Callable[[Path], Any]
) -> Callable[[Path, Backbone], tuple[list[Path], Read]]:
    """What a user writes: any of it is right or refused."""

    def make(folder: Path, _: Backbone) -> tuple[list[Path], Read]:
        paths = [folder / f"text{number}{name}" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)

        def read() -> Any:
            for path in paths:
                take(path)

        return paths, read

    return make


def expression(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    assert parse(str(parse(text))) == parse(text)


def option(path: Path) -> None:
    read_study("table1", "newsroom", texts=[path.read_bytes().decode("utf-8", "surrogateescape")])


def some_option(content: bytes, random: Random) -> bytes:
    """Any key with a value that it hardly takes."""
    value = random.choice([*VALUES, *map(repr, ODD[:9]), *ODD[20:35], "pt,yo", "4x4", "0.5", "3"]).encode(
        "utf-8", "surrogatepass"
    )
    return f"{random.choice(list(KEYS))}=".encode() + (some_bytes(value, random) if random.random() < 0.3 else value)


STUDY = """table = "table1"
targets = ["pt", "uk"]
seeds = [0, 1]
rank = 4
learning_rate = 1e-3
weights = [0.5, 1]
adapter = "lora"
kronecker = "4x4"

[newsroom]
steps = 3
"""
TASK = """prompt = "summarize: {text}"
target = "summary"
metric = "rouge2"
"""
EXPRESSIONS = ["0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])", "(a/3 + 2e-3*b@3f)*7 - -c[zh-Hans]"]
VALUES = ["1e400", "9" * 5000, "[[1]]", '"\\u0000"', "nan", "{a = 1}", "2020-01-01", "0x" + "f" * 5000, "[" * 3000]

KINDS = [
    Kind("vector.safetensors", of_a_store("objects/*/vector.safetensors"), some_tensors, True, 1),
    Kind("gram.safetensors", inputs, some_tensors, True, 1),
    Kind("origin.json", of_a_store("objects/*/origin.json"), some_json, True, 1),
    Kind("names/*.json", of_a_store("names/*/*.json"), some_json, True, 0.5),
    Kind("recipes/*.json", of_a_store("recipes/*.json"), some_json, True, 0.5),
    Kind("outputs/*.json", answers, some_json, True, 6),
    Kind("losses/*.json", losses, some_json, True, 6),
    Kind("checkpoint.safetensors", state(0), some_tensors, True, 0.5),
    Kind("log.jsonl of a training", state(1), some_lines, True, 0.5),
    Kind("tokens of a training", tokens, some_bytes, True, 0.4),
    Kind("shard and manifest", shard_and_manifest, some_lines, True, 0.4),
    Kind("half a shard", half_a_shard, some_lines, True, 0.1),
    Kind("a file of the cache", cached, some_lines, True, 6),
    Kind("adapter_config.json, LoRA", adapter("LoRA", "adapter_config.json"), some_json),
    Kind("adapter_config.json, LoKr", adapter("LoKr", "adapter_config.json"), some_json),
    Kind("adapter_model.safetensors, LoRA", adapter("LoRA", "adapter_model.safetensors"), some_tensors),
    Kind("adapter_model.safetensors, LoKr", adapter("LoKr", "adapter_model.safetensors"), some_tensors),
    Kind("lingarith.json", adapter("LoRA", "lingarith.json"), some_json),
    *(
        Kind(f"{file} of {form}", run_folder(file, form), some_json if file == "run.json" else some_lines, share=0.5)
        for form in ("adapt", "a study")
        for file in ("run.json", "records.jsonl", "choices.jsonl", "examples.jsonl", "vectors.jsonl")
    ),
    *(
        Kind(f"{file} and the page", run_folder(file, "adapt", True), mutate, share=0.004)
        for file, mutate in (("run.json", some_json), ("choices.jsonl", some_lines), ("vectors.jsonl", some_lines))
    ),
    *(
        Kind(f"data {ending}", data(ending), some_lines if "json" in ending else some_bytes, share=6)
        for ending in (".jsonl", ".jsonl.gz", ".csv", ".parquet", ".parquet.gz")
    ),
    Kind("study.toml", a_text(".toml", [STUDY], lambda path: read_study(str(path))), some_bytes, share=6),
    Kind("task.toml", a_text(".toml", [TASK], lambda path: task_of(str(path))), some_bytes, share=6),
    Kind("--set", a_text("", ["seeds=0,1"], option), some_option, share=6),
    Kind("expressions", a_text("", EXPRESSIONS, expression), some_bytes, share=6),
]

"""``lingarith import`` and ``export``: between the store and what other programs write and read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import LingarithError, did_you_mean
from ..study.options import SumOptions
from ..study.study import keys_of
from .composing import Expression, composed, lost, study_typed
from .flags import flags
from .opening import DEFAULT_STORE, Json, StorePlace, command, open_store, print_json, warn
from .terminal import tell

if TYPE_CHECKING:
    from ..store.store import Store
    from ..study.study import Study
    from ..vectors.composition import Composition
    from ..vectors.vector import Vector

LM_EVAL = "lm-eval"
FORMATS = ("peft", "serving", "gguf", "mlx", "lokr", "merged", LM_EVAL)
BESIDE = ("merged", "gguf", LM_EVAL)
"""Formats that look at the backbone, or name it to another program."""


def import_(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A LoRA or LoKr adapter that PEFT saved; or a model.")
    ],
    name: Annotated[str, typer.Option("--name", help="What expressions call it, such as 'task[en]'.")],
    backbone: Annotated[
        str | None, typer.Option("--backbone", "-b", help="Load this backbone, to bind the vector to it.")
    ] = None,
    like: Annotated[
        str | None, typer.Option("--like", metavar="VECTOR", help="Bind it to the backbone of this vector instead.")
    ] = None,
    minus: Annotated[
        str | None, typer.Option("--minus", metavar="BASE", help="FOLDER is fine-tuned BASE: take their difference.")
    ] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Cut that difference to this rank.")] = None,
    error: Annotated[
        float | None, typer.Option("--error", help="Or to the least rank that loses this share of each layer, as 0.3.")
    ] = None,
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Put an adapter of PEFT's into the store, or what a fine-tuned model differs by, as a vector for expressions.

    `lingarith import adapter-en --name 'task[en]' --like 'mc4[en]'`
    `lingarith import chat-model --minus base-model --rank 64 --name 'chat[en]'`
    """
    from ..adapters.terms import norm
    from ..formats.imported import open_adapter
    from ..store.small import check_name
    from ..vectors.outline import idle, outliers

    check_name(name)
    if backbone and like:
        raise LingarithError("--backbone and --like both say what the vector belongs to; leave out one of them")
    if minus:
        if backbone or like:
            raise LingarithError("--minus names the backbone itself; leave out --backbone and --like")
        _import_difference(str(folder), minus, name, rank, error, store, as_json)
        return
    if rank is not None or error is not None:
        raise LingarithError("--rank and --error cut a difference of two models; name the other one by --minus BASE")
    vector, shelf = open_adapter(folder, name), open_store(store)
    placed, reason = _bound(vector, shelf, backbone, like)
    digest = shelf.put(placed)
    warnings = [*outliers(vector.terms), *idle(name, {path: norm(vector.scaled(path)) for path in vector.terms})]
    for sentence in warnings:
        warn(f"{sentence}; the adapter may be damaged")
    bound, base = placed.origin["backbone"], placed.origin["base"]
    if as_json:
        facts = {"name": name, "hash": digest, "scale": placed.scale, "reason": reason, "origin": placed.origin}
        print_json(facts | {"warnings": warnings})
        return
    tell(
        f"{name} ({digest[:12]}) is in {shelf.place}: {vector.adapter}, scale {placed.scale:g}, "
        f"{len(placed.terms)} projections"
    )
    if "renamed" in placed.origin:
        tell(f"bound by the ends of its paths: {placed.origin['renamed']}")
    named = f"; its folder names {base}" if base not in (None, bound["name"]) else ""
    tell(f"backbone {bound['name']} ({bound['fingerprint'][:8]}), {reason}{named}")


def _bound(vector: Vector, shelf: Store, backbone: str | None, like: str | None) -> tuple[Vector, str]:
    """An adapter on the backbone that the user names, or that of a vector of the store; and why that one."""
    from ..formats.imported import backbone_of, on_backbone

    if not backbone:
        facts, projections, reason = backbone_of(vector, shelf, like)
        return on_backbone(vector, facts, projections), reason
    from ..model.loading import load
    from ..model.memory import prepare

    prepare()
    model = load(backbone)
    return on_backbone(vector, model.facts, model.sizes, model.parts), "as --backbone says"


def _import_difference(
    tuned: str, base: str, name: str, rank: int | None, error: float | None, store: str, as_json: bool
) -> None:
    """Put what a fine-tuned model differs by from its base into the store."""
    import torch

    from ..formats.checkpoints import checkpoint
    from ..formats.difference import difference
    from ..model.loading import load
    from ..model.memory import prepare

    there = checkpoint(tuned)
    prepare()
    model = load(base)
    facts, linears = model.facts, model.sizes
    named = {one: torch.empty(p.shape, device="meta") for one, p in model.model.named_parameters()}
    rest = {one: tensor for one, tensor in named.items() if one.removesuffix(".weight") not in linears}
    del model  # the difference is taken from the files, two tensors at a time
    made = difference(
        there, checkpoint(base, facts["revision"]), name, facts, linears, rest, known=_known(tuned, there), rank=rank,
        error=error,
    )  # fmt: skip
    shelf = open_store(store)
    digest = shelf.put(made.vector)
    left = rank is not None or error is not None
    if as_json:
        told = {"name": name, "hash": digest, "adapter": made.vector.adapter, "norm": made.norm, "error": made.error}
        print_json(told | {"others": made.others, "left_out": left, "origin": made.vector.origin})
        return
    tell(f"{name} ({digest[:12]}) is in {shelf.place}: {made.vector.adapter}, {len(made.vector.terms)} linear layers")
    if left:
        tell(f"the cut lost {made.error:.2%} of what these layers differ by")
    if made.others:
        share = sum(norm**2 for norm in made.others.values()) / made.norm**2
        few = ", ".join(sorted(made.others, key=lambda one: -made.others[one])[:3])
        tell(
            f"{len(made.others)} embeddings, norms and the like differ too ({few} most; {share:.1%} of all, as squared "
            f"norms): they are {'left out, since a cut holds linear layers alone' if left else 'in the vector'}"
        )


def _known(name: str, place: Path) -> dict[str, Any]:
    """What a checkpoint is known by: one of the hub by its commit, a folder by its fingerprint, if it is a backbone."""
    from ..formats.checkpoints import folder_of
    from ..model.identified import identified

    if folder_of(name) is None:
        return {"name": name, "revision": place.name}  # as the hub's cache calls its folder
    with suppress(LingarithError):
        return {"name": name, "fingerprint": identified(place)[0]}
    return {"name": name}


@flags("sums", "tasks", "labels", "fields", "prompt", "test_limit", "sample_seed", "max_output")
def export(
    expression: Expression,
    given: dict[str, Any],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.", file_okay=False)],
    format: Annotated[
        str, typer.Option("--format", help="peft, serving, gguf, mlx, lokr, merged or lm-eval.")
    ] = "peft",
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone", "-b", help="For merged and gguf: its folder or name; without it that of the vectors."
        ),
    ] = None,
    lang: Annotated[str, typer.Option("--lang", help="For lm-eval: the language of the examples.")] = "",
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Write a sum of vectors for other programs; the backbone is not loaded.

    `peft`: a LoRA folder, exact. `serving`: the same for vLLM and SGLang. `gguf`: for llama.cpp and Ollama. `mlx`:
    for mlx-lm. `lokr`: one Kronecker product as PEFT's LoKr. `merged`: the backbone's checkpoint with the sum added.
    `lm-eval`: a folder with the adapter and a task of lm-evaluation-harness, on the labels that the flags of data name.

    `lingarith export '0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])' --space delta --rank-out 8 --format serving --out pt`
    """
    from ..formats.folders import task_type_of
    from ..formats.gguf import elsewhere
    from ..formats.serving import unserved

    if format not in FORMATS:
        raise LingarithError(f"no format named {format!r}{did_you_mean(format, FORMATS)}")
    if backbone and format not in BESIDE:
        named = f"{', '.join(BESIDE[:-1])} or {BESIDE[-1]}"
        raise LingarithError(f"--backbone goes with --format {named}, and {format} needs none; leave it out")
    if bool(lang) != (format == LM_EVAL):
        raise LingarithError("--lang says whose examples lm-eval scores; give both or neither")
    if given.keys() - keys_of(SumOptions) and format != LM_EVAL:
        raise LingarithError("flags of tasks and data go with --format lm-eval; leave them out")
    shelf = open_store(store)
    composition, parents = composed(expression, given, shelf)
    vector = composition.vector(str(composition.combination), parents)
    base = backbone or str(vector.origin["backbone"]["name"])
    facts: dict[str, Any] = {"format": format, "folder": str(out), "adapter": vector.adapter}
    study = study_typed(given, backbone=base, targets=[lang or "en"])  # how much is written is the backbone's own
    facts = _exported(composition, vector, out, facts, backbone, study, shelf)
    if as_json:
        print_json(facts)
        return
    tell(f"{composition.combination}\nin {composition.space}: {vector.adapter}{lost(composition)}")
    if format == "merged":
        tell(f"added to {base}; rounding to its type lost {facts['rounding']:.2%} of the update")
    if format == LM_EVAL:
        given_to = f"pretrained={facts['pretrained']},peft={out / 'adapter'}"
        tell(f"lm_eval --model hf --model_args {given_to} --include_path {out} --tasks {facts['task']}")
    if format == "serving":
        tell(f"rank {facts['rank']}: give the server a --max-lora-rank of at least that")
        warn(unserved(task_type_of(composition.paths) == "SEQ_2_SEQ_LM"))
    tell(f"written to {out}")
    if format != "merged":
        warn(elsewhere(vector.origin["backbone"])[1])


def _exported(
    composition: Composition, vector: Vector, out: Path, facts: dict[str, Any], backbone: str | None, study: Study,
    shelf: Store,
) -> dict[str, Any]:  # fmt: skip
    """Write a sum in the format that ``facts`` name; these, with what ``lingarith.json`` says there."""
    from ..disk.files import read_json
    from ..formats import harness, llama_cpp, lokr, merged, mlx, peft, serving
    from ..formats.checkpoints import checkpoint, folder_of
    from ..formats.folders import ORIGIN, task_type_of
    from ..formats.gguf import elsewhere

    format, base = facts["format"], vector.origin["backbone"]
    name, _ = elsewhere(base)
    kinds = [(weight, one.origin.get("kind"), one.origin.get("language")) for weight, one in composition.parts]
    added = {code for weight, kind, code in kinds if kind == "language" and weight > 0 and isinstance(code, str)}
    language = {"language": added.pop()} if len(added) == 1 else {}  # that of the one language vector that is added
    origin = {**vector.origin, **language, "command": command()}
    if format == "merged":
        merged.write_merged(composition, _base(vector, backbone), out, base_model=name, origin=origin)
    elif format == "gguf":
        place = _same(vector, backbone) if backbone else checkpoint(base["name"], base.get("revision"))
        facts["rank"] = llama_cpp.write_gguf(composition, place, out, base_model=name, origin=origin)
    elif format == LM_EVAL:
        labels, [lang] = study.tasks[study.only_task], study.languages.targets
        data, most = study.data, study.writing.max_output
        task = labels.task if task_type_of(composition.paths) == "SEQ_2_SEQ_LM" else labels.task.for_decoders()
        asked = harness.Asked(task, labels.source, lang, data.columns, data.test_limit, data.sample_seed, most)
        used = harness.placed(backbone or base["name"])
        facts["task"] = harness.write_lm_eval(
            composition, out, asked, base=used, base_model=name, store=shelf.folder, origin=origin
        )
        facts["pretrained"] = str(folder_of(used) or used)
    else:
        adapters: dict[str, Any] = {
            "peft": peft.write_peft, "serving": serving.write_serving, "lokr": lokr.write_lokr, "mlx": mlx.write_mlx,
        }  # fmt: skip
        kind = task_type_of(composition.paths)
        written = adapters[format](composition, out, base_model=name, task_type=kind, origin=origin)
        facts |= {"rank": written} if format == "serving" else {}
    return read_json((out / harness.ADAPTER if format == LM_EVAL else out) / ORIGIN) | facts


def _base(vector: Vector, backbone: str | None) -> Path:
    """The folder of the checkpoint that a sum is added to: its vectors' backbone, by its fingerprint.

    Raises :class:`LingarithError` for another, and for a folder that nobody but the vectors names.
    """
    from ..formats.checkpoints import folder_of
    from ..newsroom import NEWSROOM

    base = vector.origin["backbone"]
    if not backbone and base["name"] != NEWSROOM and folder_of(base["name"]):
        raise LingarithError(
            f"these vectors name the folder {base['name']} as their backbone, and its files would be copied; say so by "
            f"--backbone {base['name']}"
        )
    return _same(vector, backbone)


def _same(vector: Vector, backbone: str | None) -> Path:
    """The place of the vectors' backbone, or of one that is named; :class:`LingarithError` where that is another."""
    from ..formats.checkpoints import checkpoint
    from ..model.identified import identified
    from ..store.parts import same_backbone

    base = vector.origin["backbone"]
    place = checkpoint(backbone) if backbone else checkpoint(base["name"], base.get("revision"))
    found, parts = identified(place)
    if not same_backbone(vector.origin, found, parts):
        raise LingarithError(
            f"{backbone or base['name']} ({found[:16]}) is not the backbone of these vectors, which is "
            f"{base['fingerprint'][:16]}; give that one's folder by --backbone"
        )
    return place


def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `adapt` or `export` wrote.")],
    name: Annotated[str, typer.Argument(metavar="USER/NAME", help="The repository that is made on the hub.")],
    public: Annotated[bool, typer.Option("--public", help="Everybody may see it; else it is private.")] = False,
    update: Annotated[bool, typer.Option("--update", help="It is there already: add a commit to it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be pushed; no network.")] = False,
    as_json: Json = False,
) -> None:
    """Put an adapter or a merged checkpoint on the Hugging Face hub, with its card.

    `lingarith push adapted/pt me/headlines-pt --dry-run`
    """
    from ..formats import push as pushing

    files, warnings = pushing.files_of(folder, name), pushing.warnings_of(folder)
    for sentence in warnings:
        warn(sentence)
    url = None if dry_run else pushing.push(files, name, public=public, update=update)
    sizes = {
        place: len(content) if isinstance(content, bytes) else content.stat().st_size
        for place, content in files.items()
    }
    seen = "as visible as it was" if update else "public" if public else "private"
    if as_json:
        print_json({"name": name, "visible": seen, "files": sizes, "warnings": warnings, "url": url})
        return
    for place, size in sizes.items():
        tell(f"{size / 1000:>10,.1f} kB  {place}")
    tell(f"{'would be' if dry_run else 'is now'} {name} on the hub, {seen}" + (f": {url}" if url else ""))

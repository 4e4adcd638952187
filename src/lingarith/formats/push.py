"""A folder that is handed over, in whatever format, on the Hugging Face hub: one commit with its files, and no others.

The token is the one that `hf auth login` or HF_TOKEN leaves; it goes to the hub alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..disk.files import arrived, read_json
from ..disk.tensors import TensorFile
from ..errors import LingarithError, in_a_line
from .card import CARD, EVALUATED, HUB_NAME, hub_name
from .folders import CONFIG, ORIGIN, WEIGHTS
from .llama_cpp import ADAPTER, MODELFILE
from .merged import files_written
from .mlx import ADAPTERS
from .snippets import HERE

SECONDS = 30
"""How long the hub may take to answer."""
MEND = "name a folder that `lingarith export` or `lingarith adapt` wrote"
BESIDE = {WEIGHTS: CONFIG, ADAPTERS: CONFIG, ADAPTER: MODELFILE}
"""The weights of PEFT's adapters, MLX's and llama.cpp's, and the file that each stands beside."""


def files_of(folder: Path, name: str) -> dict[str, bytes | Path]:
    """What is pushed of a folder, by its place there; the card's snippet loads the adapter by its name on the hub.

    Raises :class:`LingarithError` where the folder is no adapter or checkpoint of ours with a card, or damaged, and for
    a name that is none.
    """
    if "/" not in name or not HUB_NAME.fullmatch(
        name
    ):  # else the hub makes a repository of the user's, and refuses what comes next
        raise LingarithError(f"{name!r} can be no repository; write user/name")
    held = _held(folder)
    for path in held.values():
        _must_be_whole(path)
    if not (folder / CARD).is_file():
        raise LingarithError(f"{folder} has no {CARD}, which the hub shows; write the adapter again")
    card = arrived(folder, CARD).read_text(encoding="utf-8").replace(HERE, f'"{name}"')
    scores = sorted((folder / EVALUATED).glob("*.yaml"))
    return {
        CARD: card.encode(),
        **held,
        **{f"{EVALUATED}/{path.name}": arrived(folder / EVALUATED, path.name) for path in scores},
    }


def _held(folder: Path) -> dict[str, Path]:
    """The files of an adapter or a merged checkpoint, by their names there."""
    within = sorted(path.parent for path in folder.glob(f"*/{ORIGIN}"))
    if within and not (folder / ORIGIN).exists():
        raise LingarithError(f"{folder} holds no weights itself; push a folder in it, such as {within[0]}")
    read_json(arrived(folder, ORIGIN), mend=MEND)
    adapter = [name for weights, beside in BESIDE.items() if (folder / weights).exists() for name in (weights, beside)]
    listed = (name for name in files_written(folder) if Path(name).name == name and not name.startswith("."))
    names = adapter or sorted(listed)
    if not names:
        raise LingarithError(f"{folder} holds no weights; {MEND}")
    return {name: arrived(folder, name) for name in dict.fromkeys([*names, ORIGIN])}


def _must_be_whole(path: Path) -> None:
    """Raise :class:`LingarithError` for a file that is not there, and for damaged weights or JSON of ours."""
    if path.suffix == ".safetensors":
        TensorFile(path, mend=MEND)
    elif path.name in (CONFIG, ORIGIN):
        read_json(path, mend=MEND)
    elif not path.is_file():
        raise LingarithError(f"{path} does not exist; {MEND}")


def warnings_of(folder: Path) -> list[str]:
    """What keeps others from using an adapter: a base model that is on this machine alone."""
    about = read_json(folder / ORIGIN)
    base = str(about.get("base_model", ""))
    if not base or hub_name(base) or "files" in about:  # a merged checkpoint needs none
        return []
    return [f"its base model is {base!r}, which is no name on the hub: nobody else has it"]


def push(files: dict[str, bytes | Path], name: str, *, public: bool = False, update: bool = False) -> str:
    """Make the repository ``name`` (``user/name``, private unless ``public``) with these files; its commit's URL.

    With ``update`` it is there already and stays as private as it is. Raises :class:`LingarithError` for no token,
    one that may not write there, a name that is taken or can be none, and no network.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_session, get_token

    token = get_token()
    if not token:
        raise LingarithError("there is no token of the hub; log in with `hf auth login`, or set HF_TOKEN")
    api, session = HfApi(token=token, library_name="lingarith"), get_session()
    with _said(name), _patience(session, SECONDS):
        if not update:
            api.create_repo(name, private=not public)
        added: Any = [CommitOperationAdd(place, content) for place, content in files.items()]
        commit = api.create_commit(name, added, commit_message="Made by lingarith")
    return str(commit.commit_url)


@contextmanager
def _patience(session: Any, seconds: float) -> Iterator[None]:
    """While open, the hub's library waits so long for an answer, and not for ever."""
    session.timeout, before = seconds, session.timeout
    try:
        yield
    finally:
        session.timeout = before


@contextmanager
def _said(name: str) -> Iterator[None]:
    """Turn what the hub and the network answer into one sentence."""
    from huggingface_hub.errors import BadRequestError, HfHubHTTPError, HFValidationError

    # OSError, HTTPError of whichever client the hub's library has, an upload that failed again and again, and the page
    # of something between here and the hub in place of its answer.
    network: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, RuntimeError, json.JSONDecodeError)
    answers = {
        401: "does not know the token; log in again with `hf auth login`",
        403: "does not let this token write there; take a token that may write, and a name under your own user",
        404: "has no such user or repository; without --update it is made",
        409: "has a repository of that name; choose another name, or --update that one",
    }
    try:
        yield
    except HFValidationError:
        raise LingarithError(f"{name!r} can be no repository; write user/name") from None
    except HfHubHTTPError as problem:
        status = problem.response.status_code
        why = f" ({problem.server_message})" if problem.server_message else ""
        other = f"refuses that{why}; mend it" if status == 400 else f"answered {status}; try again later"
        raise LingarithError(f"{name}: the hub {answers.get(status, other)}") from None
    except network as problem:
        raise LingarithError(
            f"the hub cannot be reached ({type(problem).__name__}); no file was pushed: look at the network "
            "and HF_HUB_OFFLINE, and run the same command again (with --update where the repository is there by now)"
        ) from None
    except ValueError as problem:
        if not isinstance(problem.__cause__, BadRequestError):  # what the library makes of a card that is refused
            raise
        raise LingarithError(
            f"the hub refuses the card: {in_a_line(problem)}; mend the top of {CARD} and push with --update"
        ) from None

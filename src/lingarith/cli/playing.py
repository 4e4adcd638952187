"""``lingarith play``: sums of a store's vectors in the browser."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import LingarithError
from .composing import study_typed
from .flags import flags
from .opening import DEFAULT_STORE, StorePlace, open_lab
from .progress import shown
from .terminal import tell


@flags("tasks", "prompt", "backbone", "space", "merging", "writing")
def play(
    given: dict[str, Any],
    port: Annotated[int, typer.Option(help="Where the page is served.", min=1, max=65535)] = 7860,
    host: Annotated[
        str, typer.Option(help="127.0.0.1 is this machine alone, 0.0.0.0 whoever reaches it.")
    ] = "127.0.0.1",
    export: Annotated[Path | None, typer.Option("--export", help="Write it to this folder, as a Space.")] = None,
    store: StorePlace = DEFAULT_STORE,
) -> None:
    """A page to play with sums: type one or move its weights, and read what the backbone writes with it.

    `lingarith play --store lingarith-demo-store` (extra `play`; nothing leaves this machine)
    """
    from ..play import desk as desks
    from ..play.page import gradio, serve

    version = gradio().__version__
    if not export:
        try:
            socket.create_server((host, port)).close()
        except OSError as problem:
            reason = (problem.strerror or "").partition(" (")[0]
            raise LingarithError(f"{host}:{port} cannot be served ({reason}); name another --port") from None
    study = study_typed(given)
    with shown() as progress:
        desk = desks.desk(open_lab(study, store, progress, trains=False))
    if export:
        desks.export(desk, export, given, version)
        tell(f"{export} holds a Space with {', '.join(desk.entries)}; `hf upload` sends it")
        return
    tell(f"http://{host}:{port} shows {', '.join(desk.entries)}; Ctrl-C ends it")
    serve(desk, study.sums.value, host, port)

"""`lingarith play` without Gradio: what is wrong is said before anything is served."""

import importlib.util
import socket
from types import SimpleNamespace

import pytest

from lingarith.play import page
from lingarith.vectors.composition import Space


@pytest.fixture
def served(monkeypatch):
    """What would be served, without Gradio."""
    calls = []
    monkeypatch.setattr(page, "gradio", lambda: SimpleNamespace(__version__="6.31.0"))
    monkeypatch.setattr(page, "serve", lambda *given: calls.append(given))
    return calls


@pytest.fixture
def port():
    """One that is free."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.mark.skipif(importlib.util.find_spec("gradio") is not None, reason="Gradio is here")
def test_without_gradio_the_install_command_is_said(fails, store, tiny_backbone):
    assert fails("play", "--store", store, "-b", tiny_backbone) == (
        "gradio is not installed; get it by `pip install 'lingarith[play]'`"
    )


def test_a_port_in_use_is_a_sentence(fails, served, store, tiny_backbone):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = fails("play", "--store", store, "-b", tiny_backbone, "--port", port)
    assert told.startswith(f"127.0.0.1:{port} cannot be served (")
    assert told.endswith("name another --port")


def test_an_empty_store_says_what_to_train(fails, served, tmp_path, tiny_backbone, port):
    told = fails("play", "--store", tmp_path / "none", "-b", tiny_backbone, "--port", port)
    assert "has no vector of" in told
    assert "`lingarith train task newsroom en -b " in told


def test_the_page_shows_the_vectors_of_the_store(command, served, store, tiny_backbone, port):
    done = command("play", "--store", store, "-b", tiny_backbone, "--space", "delta", "--port", port)
    assert done.code == 0, done.err
    assert done.out == f"http://127.0.0.1:{port} shows headlines[en], news[en], news[pt]; Ctrl-C ends it\n"
    [(desk, space, host, where)] = served
    assert (list(desk.entries), space, host, where) == (
        ["headlines[en]", "news[en]", "news[pt]"], Space("delta"), "127.0.0.1", port,
    )  # fmt: skip

"""Pushing to a server on this machine that speaks the hub's API as far as it is used."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from lingarith.adapters.lora import LoraTerm
from lingarith.algebra import parse
from lingarith.errors import LingarithError
from lingarith.formats.llama_cpp import write_gguf
from lingarith.formats.merged import write_merged
from lingarith.formats.mlx import write_mlx
from lingarith.formats.peft import write_peft
from lingarith.formats.push import files_of, push, warnings_of
from lingarith.vectors.composition import Composition, Space
from lingarith.vectors.vector import Vector
from tests.formats.models import tiny_llama

TOKEN = "hf_only_for_this_test"
WEIGHTS = "adapter_model.safetensors"


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory: create, preupload (weights by LFS, the rest inline), LFS, commit."""

    taken: dict[str, dict[str, bytes]]
    created: dict[str, Any]
    objects: dict[str, bytes]

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, value: Any = None, page: bytes = b"") -> None:
        content = page or json.dumps(value or {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        here = f"http://{self.headers['Host']}"
        if self.path.endswith("info/lfs/objects/batch"):
            asked = json.loads(body)["objects"]
            put = [one | {"actions": {"upload": {"href": f"{here}/put/{one['oid']}"}}} for one in asked]
            return self.answer(200, {"transfer": "basic", "objects": put})
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer(401)
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            if name == "me/reserved":
                return self.answer(400, {"error": "that name is kept"})
            if not name.startswith("me/"):
                return self.answer(403)
            if name in self.taken:
                return self.answer(409)
            self.taken[name] = {}
            self.created[name] = wanted
            return self.answer(200, {"url": f"{here}/{name}"})
        if self.path == "/api/validate-yaml":
            if "language: page" in json.loads(body)["content"]:
                return self.answer(200, None, b"<p>log in</p>")
            bad = "language: tlh" in json.loads(body)["content"]
            return self.answer(400 if bad else 200, {"errors": [{"message": "no Klingon"}] * bad, "warnings": []})
        name = "/".join(self.path.split("/")[3:5])
        if name not in self.taken:
            return self.answer(404)
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "lfs" if f["path"] == WEIGHTS else "regular"} for f in files]
            return self.answer(200, {"files": [mode | {"shouldIgnore": False} for mode in modes]})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.taken[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.taken[name][value["path"]] = self.objects[value["oid"]]
        self.answer(200, {"commitUrl": f"{here}/{name}/commit/1", "commitOid": "1", "commitMessage": ""})

    def do_PUT(self) -> None:
        if "Content-Length" in self.headers:
            content = self.rfile.read(int(self.headers["Content-Length"]))
        else:  # in chunks
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.objects[self.path.split("/")[-1]] = content
        self.answer(200)


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """While open, the hub is a server of this process."""
    kind = type("Fresh", (Hub,), {"taken": {"me/old": {}}, "created": {}, "objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield kind
    server.shutdown()
    server.server_close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    with serving(monkeypatch) as kind:
        yield kind


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    vector = Vector("a", {"layer.q": (LoraTerm(torch.ones(1, 3), torch.ones(4, 1)),)}, 1.0, {"data": {"source": "mc4"}})
    made = Composition(parse("a"), {"a": vector}, Space("delta"))
    write_peft(made, tmp_path / "pt", base_model="google/gemma", task_type="CAUSAL_LM", origin={"expression": "a"})
    (tmp_path / "pt" / ".eval_results").mkdir()
    (tmp_path / "pt" / ".eval_results" / "lingarith.yaml").write_text("[]")
    return tmp_path / "pt"


def private(asked: dict[str, Any]) -> bool:
    """Whether a repository was asked for that others do not see: by huggingface_hub 1.4 ``private`` says so, later
    ``visibility``."""
    return asked["visibility"] == "private" if "visibility" in asked else bool(asked["private"])


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own
def test_a_folder_becomes_a_private_repository(hub: type[Hub], adapter: Path) -> None:
    (adapter / ".env").write_text("what is none of ours stays here")
    files = files_of(adapter, "me/new")
    url = push(files, "me/new")
    assert url.endswith("me/new/commit/1")
    assert private(hub.created["me/new"])
    there = hub.taken["me/new"]
    ours = {"README.md", "adapter_config.json", "lingarith.json", WEIGHTS, ".eval_results/lingarith.yaml"}
    assert there.keys() == ours
    assert there[WEIGHTS] == (adapter / WEIGHTS).read_bytes()
    assert 'adapter = "me/new"\n' in there["README.md"].decode()
    assert all(TOKEN.encode() not in content for content in there.values())
    again = push(files, "me/new", update=True)
    assert again == url
    push(files, "me/seen", public=True)
    assert not private(hub.created["me/seen"])


def test_what_the_hub_refuses(hub: type[Hub], adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of(adapter, "me/new")
    for name, sentence in [
        ("me/old", "has a repository of that name; choose another name, or --update"),
        ("you/new", "does not let this token write there"),
        ("me/reserved", r"me/reserved: the hub refuses that \(.*that name is kept.*\); mend it"),
        ("a b", "can be no repository"),
        ("", "can be no repository"),
    ]:
        with pytest.raises(LingarithError, match=sentence):
            push(files, name)
    for language, sentence in [
        (b"tlh", r"refuses the card: .*no Klingon"),
        (b"page", r"cannot be reached \(JSONDecodeError\)"),
    ]:
        said = files["README.md"].replace(b"license:", b"language: " + language + b"\nlicense:")  # type: ignore[union-attr]
        with pytest.raises(LingarithError, match=sentence):
            push(files | {"README.md": said}, "me/old", update=True)
    with pytest.raises(LingarithError, match="has no such user or repository"):
        push(files, "me/new", update=True)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(LingarithError, match="does not know the token") as refused:
        push(files, "me/new")
    assert "hf_wrong" not in str(refused.value)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(LingarithError, match="there is no token of the hub"):
        push(files, "me/new")
    assert hub.taken == {"me/old": {}}


def test_a_mistake_of_a_program_is_no_refusal(hub: type[Hub], adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("I/O operation on closed file")

    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", broken)
    with pytest.raises(ValueError, match="closed file"):
        push(files_of(adapter, "me/new"), "me/new")


@pytest.mark.parametrize("name", ["new", "a/b/c", "not a name", "me/"])
def test_what_can_be_no_repository(name: str, adapter: Path) -> None:
    """The hub makes a user's own repository of a name alone, and then knows none of that name."""
    with pytest.raises(LingarithError, match="can be no repository; write user/name"):
        files_of(adapter, name)


def test_no_network(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        with pytest.raises(LingarithError, match="the hub cannot be reached") as refused:
            push(files_of(adapter, "me/new"), "me/new")
    assert TOKEN not in str(refused.value)


def test_a_hub_that_does_not_answer(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr("lingarith.formats.push.SECONDS", 0.2)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        with pytest.raises(LingarithError, match=r"the hub cannot be reached \(ReadTimeout\)"):
            push(files_of(adapter, "me/new"), "me/new")


def test_which_folders_can_be_pushed(adapter: Path, tmp_path: Path) -> None:
    assert warnings_of(adapter) == []
    with pytest.raises(LingarithError, match=r"/pt/lingarith.json does not exist; name a folder that"):
        files_of(tmp_path / "pt" / "pt", "me/new")
    with pytest.raises(LingarithError, match=rf"holds no weights itself; push a folder in it, such as {adapter}"):
        files_of(tmp_path, "me/new")
    (adapter / "README.md").unlink()
    with pytest.raises(LingarithError, match=r"has no README.md"):
        files_of(adapter, "me/new")
    (adapter / WEIGHTS).unlink()
    with pytest.raises(LingarithError, match=r"holds no weights; name a folder that"):
        files_of(adapter, "me/new")


@pytest.mark.parametrize(
    ("format", "files", "line", "warned"),
    [
        ("gguf", {"adapter.gguf", "Modelfile"}, 'adapter="me/new"', 1),
        ("mlx", {"adapters.safetensors", "adapter_config.json"}, 'adapter="me/new"', 1),
        ("merged", {"model.safetensors", "config.json", "generation_config.json"}, 'base = "me/new"', 0),
    ],
)
def test_folders_of_other_formats(format: str, files: set[str], line: str, warned: int, tmp_path: Path) -> None:
    tiny_llama().save_pretrained(tmp_path / "base")
    terms = {"model.layers.0.self_attn.v_proj": (LoraTerm(torch.ones(1, 16), torch.ones(8, 1)),)}
    made, out, base = Composition(parse("a"), {"a": Vector("a", terms, 1.0)}, Space("delta")), tmp_path / "out", "/a/b"
    if format == "gguf":
        pytest.importorskip("gguf")
        write_gguf(made, tmp_path / "base", out, base_model=base)
    elif format == "mlx":
        write_mlx(made, out, base_model=base, task_type="CAUSAL_LM")
    else:
        write_merged(made, tmp_path / "base", out, base_model=base)
    (out / ".env").write_text("what is none of ours stays here")
    pushed = files_of(out, "me/new")
    assert pushed.keys() == files | {"README.md", "lingarith.json"}
    card = pushed["README.md"]
    assert isinstance(card, bytes)
    assert f"\n{line}\n" in card.decode()
    assert len(warnings_of(out)) == warned  # nobody else has that base, which a merged checkpoint needs no longer
    (out / next(file for file in files if file.endswith(("safetensors", "gguf")))).unlink()
    with pytest.raises(LingarithError, match=r"(holds no weights|does not exist); name a folder that"):
        files_of(out, "me/new")

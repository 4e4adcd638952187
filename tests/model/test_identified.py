"""The fingerprint of a folder that does not change is found without transformers, and is the one that they find."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.errors import LingarithError
from lingarith.model.fingerprint import identity_in
from lingarith.model.identified import identified
from lingarith.model.loading import load

PROGRAM = """
import sys
from pathlib import Path
from lingarith.model.identified import identified
print(identified(Path(sys.argv[1]))[0], "transformers" in sys.modules)
"""


@pytest.fixture
def folder(tmp_path: Path, model: Callable[..., Any], tokenizer: Callable[..., Any]) -> Callable[[str], Path]:
    def make(family: str) -> Path:
        model(family).save_pretrained(tmp_path / family)
        tokenizer(family).save_pretrained(tmp_path / family)
        return tmp_path / family

    return make


@pytest.fixture
def where(folder: Callable[[str], Path]) -> Path:
    return folder("llama")


def test_it_is_kept_until_a_file_changes(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = identified(where)
    assert first == identity_in(where)
    words = [sys.executable, "-c", PROGRAM, str(where)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.split() == [first[0], "False"]
    config = (where / "config.json").read_text()
    (where / "config.json").write_text(config.replace('"rms_norm_eps": 1', '"rms_norm_eps": 2'))
    other = identified(where)
    assert other == identity_in(where)
    assert other[0] != first[0]
    assert other[1]["weights"] == first[1]["weights"]
    monkeypatch.setattr("lingarith.model.fingerprint.identity_in", None)
    assert identified(where) == other


def test_a_folder_is_looked_at_each_time(where: Path, tmp_path: Path) -> None:
    identified(where)
    (tmp_path / "elsewhere.json").write_text("{}")
    (where / "link.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(LingarithError, match=r"link\.json"):
        identified(where)


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
@pytest.mark.parametrize("family", ["t5", "llama", "bloom"])
def test_a_backbone_that_was_loaded_is_known(
    family: str, dtype: str, folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(str(there := folder(family)), dtype=dtype, device="cpu")
    found = identity_in(there)
    monkeypatch.setattr("lingarith.model.fingerprint.identity_in", None)
    assert identified(there) == (loaded.fingerprint, loaded.parts) == found

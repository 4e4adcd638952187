"""Where a store lies beyond this machine: S3, Google Cloud Storage, Azure, or whatever else fsspec reaches."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..errors import LingarithError, in_a_line, without_passwords
from .kept import cache_folder

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""What to install for a kind of URL."""


@dataclass(frozen=True)
class Remote:
    """Files under a URL, each with a key such as ``recipes/3f2a.json``.

    All methods raise :class:`LingarithError` when the file system refuses or does not answer.
    """

    url: str = field(repr=False)
    """With what opens it; :attr:`place` is what can be shown."""
    system: Any
    """Of fsspec, which has no types."""
    root: str

    @staticmethod
    def at(url: str) -> Remote:
        """What lies under a URL, nothing at first. Raises :class:`LingarithError` when nothing can lie there."""
        import fsspec  # which takes a tenth of a second

        try:
            system, root = fsspec.core.url_to_fs(url)
        except ImportError as problem:
            extra = EXTRAS.get(url.partition(":")[0])
            install = f"pip install 'lingarith[{extra}]'" if extra else "install it"
            raise LingarithError(f"{url} needs a library that is not here ({_said(problem, url)}); {install}") from None
        except Exception as problem:  # some ask a server at once, and each raises its own
            raise LingarithError(
                f"{url} is no place for a store: {_said(problem, url)}; name a folder, or a place such as "
                "s3://bucket/store"
            ) from None
        if not root.strip("/"):
            raise LingarithError(
                f"{url} names no place for a store; give one, such as {url.partition(':')[0]}://bucket/store"
            )
        remote = Remote(url.rstrip("/"), system, root.rstrip("/"))
        remote._must_be_there()
        return remote

    @property
    def place(self) -> str:
        """The URL without a password."""
        return without_passwords(self.url)

    @property
    def cache(self) -> Path:
        """The folder of this machine that stands for it, below $LINGARITH_CACHE or ``~/.cache/lingarith``."""
        return cache_folder() / hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def begun(self) -> bool:
        """Whether anything lies there."""
        with self._reaching():
            self.system.invalidate_cache()  # others write too
            try:
                return bool(self.system.ls(self.root, detail=False))
            except FileNotFoundError:
                return False

    def has(self, key: str) -> bool:
        """Whether there is a file of that key."""
        with self._reaching():
            self.system.invalidate_cache()
            try:
                self.system.info(self._path(key))
            except FileNotFoundError:
                return False
        return True

    def sizes(self, prefix: str) -> dict[str, int]:
        """The keys of the files below a folder, and their bytes."""
        with self._reaching():
            self.system.invalidate_cache()
            try:
                found = self.system.find(self._path(prefix), detail=True)
            except FileNotFoundError:
                return {}
        return {path.removeprefix(f"{self.root}/"): int(about["size"]) for path, about in found.items()}

    def read(self, key: str) -> bytes | None:
        """The content of a small file; None when it is not there."""
        return self.read_all([key]).get(key)

    def read_all(self, keys: Collection[str]) -> dict[str, bytes]:
        """The contents of small files by their keys, at once where that is possible; without those that are gone."""
        paths = {self._path(key): key for key in keys}
        with self._reaching():
            found = self.system.cat(list(paths), on_error="return") if paths else {}
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        return {paths[path]: content for path, content in found.items() if isinstance(content, bytes)}

    def fetch(self, key: str, path: Path) -> None:
        """Copy a file to ``path`` on this machine, where it appears bit by bit."""
        with self._reaching():
            self.system.get_file(self._path(key), str(path))

    def push(self, path: Path, key: str) -> None:
        """Copy a file of this machine; an object store shows it when it is whole."""
        with self._reaching():
            if self.root.startswith("/"):  # folders that must be made, which object stores do not have
                self.system.makedirs(self._path(key).rpartition("/")[0], exist_ok=True)
            self.system.put_file(str(path), self._path(key))

    def remove(self, prefix: str) -> None:
        """Delete what lies in a folder."""
        paths = [self._path(key) for key in self.sizes(prefix)]
        with self._reaching():
            if paths:
                self.system.rm(paths)

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _must_be_there(self) -> None:
        """Say at once that a bucket is missing or closed, not after hours of training."""
        bucket = self.root.partition("/")[0]
        with self._reaching():
            try:
                self.system.ls(self.root or "/", detail=False)
            except FileNotFoundError:  # nothing in the bucket yet, or no bucket
                with suppress(PermissionError):  # rights on a part of a bucket
                    self.system.ls(bucket or "/", detail=False)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn all that a file system may raise, each its own, into one sentence."""
        try:
            yield
        except Exception as problem:
            raise LingarithError(
                f"{self.url} cannot be used: {_said(problem, self.url)}; see that it exists and that your credentials "
                "reach it, then run the same command again (what was computed is kept on this machine)"
            ) from problem


def _said(problem: Exception, url: str) -> str:
    """What an error says in a line, without the password of the URL wherever it stands."""
    said = in_a_line(problem).rstrip(".")
    for secret in re.findall(r"://[^\s:/]*:(\S*)@", url):
        for form in {secret, unquote(secret)} - {""}:
            said = said.replace(form, "***")
    return said

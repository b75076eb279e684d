"""A hub on the loopback interface that answers as the real one does: headers, redirects and error codes."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REVISION = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories, and how the hub is to behave.

    Attributes:
        files: by repository and path.
        trouble: what becomes of the next downloads, one each: a status, `cut` for a connection that breaks off, `hang`
            for one over which nothing more comes.
        gated: repositories that answer 403 with a token and 401 without.
        seen: method and path of every request.
        tokens: that came with them.
        hangs: set once a download has stopped.
    """

    files: dict[tuple[str, str], bytes]
    trouble: list[int | str] = field(default_factory=list)
    gated: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    @property
    def store(self) -> str:
        """Where large files lie: on another host than the repositories, which gets no token."""
        return self.address.replace("127.0.0.1", "localhost")

    def large(self, path: str) -> bool:
        """Whether a file is kept apart from the repository, as weights are."""
        return not path.endswith(".json")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        hub, path = self.hub, self.path.split("?")[0].lstrip("/")
        hub.seen.append(f"{self.command} {path}")
        hub.tokens.append(self.headers.get("Authorization"))
        parts = path.split("/")
        if path.startswith("api/models/"):
            self._describe("/".join(parts[2:4]), parts[5] if len(parts) > 5 else REVISION)
        elif path.startswith("blobs/"):
            content = next(held for held in hub.files.values() if hashlib.sha256(held).hexdigest() == parts[1])
            self._give(content, body)
        elif len(parts) > 4 and parts[2] == "resolve":
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]), body)
        else:
            self._refuse(404, "")

    def _resolve(self, repository: str, revision: str, path: str, body: bool) -> None:
        content = self.hub.files.get((repository, path))
        if repository in self.hub.gated:
            return self._refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo")
        if not any(held == repository for held, _ in self.hub.files):
            return self._refuse(401, "RepoNotFound")
        if revision != REVISION:
            return self._refuse(404, "RevisionNotFound")
        if content is None:
            return self._refuse(404, "EntryNotFound")
        common = {"X-Repo-Commit": REVISION}
        if not self.hub.large(path):
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            return self._give(content, body, {**common, "ETag": f'"{blob}"'})
        found = hashlib.sha256(content).hexdigest()
        headers = {**common, "X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{found}"', "ETag": '"pointer"'}
        return self._send(302, {**headers, "Location": f"{self.hub.store}/blobs/{found}"}, b"")

    def _describe(self, repository: str, revision: str) -> None:
        if repository in self.hub.gated:
            return self._refuse(401, "GatedRepo")
        siblings: list[dict[str, Any]] = []
        for (held, path), content in self.hub.files.items():
            if held == repository:
                sibling: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": "0" * 40}
                if self.hub.large(path):
                    digest = hashlib.sha256(content).hexdigest()
                    sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
                siblings.append(sibling)
        if not siblings:
            return self._refuse(401, "RepoNotFound")
        description = {"id": repository, "sha": revision, "siblings": siblings, "cardData": {"license": "mit"}}
        return self._send(200, {"Content-Type": "application/json"}, json.dumps(description).encode())

    def _give(self, content: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
        trouble = self.hub.trouble.pop(0) if body and self.hub.trouble else None
        if isinstance(trouble, int):
            return self._refuse(trouble, "")
        headers = {**(headers or {}), "Content-Length": str(len(content))}
        start = int(self.headers.get("Range", "bytes=0-")[6:].rstrip("-"))
        if trouble in ("cut", "hang"):
            self._send(200, headers, content[: len(content) // 2])
            self.wfile.flush()
            if trouble == "hang":
                self.hub.hangs.set()
                self.rfile.read(1)
                return None
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        if start:
            ranged = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            return self._send(206, {**headers, **ranged, "Content-Length": str(len(content) - start)}, content[start:])
        return self._send(200, headers, content if body else b"")

    def _refuse(self, status: int, code: str) -> None:
        headers = {"X-Error-Code": code} if code else {}
        self._send(status, {**headers, "Content-Length": "0"}, b"")

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Let a hub answer at its `address`."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

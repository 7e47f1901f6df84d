"""A model hub on this machine: what the hub's own client asks for, over HTTP, and nothing more."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

USERS = {"good-token": "anna", "another-token": "berta"}
"""The user of each token."""


class StubHub:
    """Repositories in memory.

    Attributes:
        branches: files by path, by repository and branch.
        private: repositories that need a token.
        downloaded: paths of files that were sent.
        unknown: requests that it has no answer for.
    """

    def __init__(self) -> None:
        self.branches: dict[str, dict[str, dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.large: dict[str, bytes] = {}
        self.downloaded: list[str] = []
        self.unknown: list[str] = []
        self.claimed_sizes: dict[str, int] = {}
        self.url = ""

    def put(self, repository: str, files: dict[str, bytes]) -> None:
        self.branches.setdefault(repository, {})["main"] = dict(files)

    def files(self, repository: str, branch: str = "main") -> dict[str, bytes]:
        return self.branches[repository][branch]

    def find(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return commit and files of a branch, or of a commit."""
        for branch, files in self.branches[repository].items():
            commit = commit_of(files)
            if revision in (branch, commit):
                return commit, files
        return None


def commit_of(files: dict[str, bytes]) -> str:
    digest = hashlib.sha1()
    for path, content in sorted(files.items()):
        digest.update(path.encode() + b"\0" + content)
    return digest.hexdigest()


@contextmanager
def running() -> Iterator[StubHub]:
    """Serve a hub on loopback."""
    hub = StubHub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: StubHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for method, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                answer(self, **found.groupdict())
                return
        self.hub.unknown.append(f"{self.command} {self.path}")
        self._error(404, "NotFound")

    @property
    def user(self) -> str | None:
        return USERS.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))

    def _json(self, content: Any, status: int = 200, **headers: str) -> None:
        self._send(json.dumps(content).encode(), status, {"Content-Type": "application/json", **headers})

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _error(self, status: int, code: str) -> None:
        self._json({"error": code}, status, **{"X-Error-Code": code, "X-Error-Message": code})

    def _may_write(self, repository: str) -> bool:
        if self.user is None:
            self._error(401, "Unauthorized")
        elif repository.partition("/")[0] != self.user:
            self._error(403, "Forbidden")
        else:
            return True
        return False

    def _found(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return commit and files; without, answer with the error and return None."""
        hidden = repository in self.hub.private and repository.partition("/")[0] != self.user
        if repository not in self.hub.branches or hidden:
            self._error(401 if self.user is None else 404, "RepoNotFound")
            return None
        found = self.hub.find(repository, revision)
        if found is None:
            self._error(404, "RevisionNotFound")
        return found

    def create(self) -> None:
        asked = json.loads(self.body)
        repository = f"{asked.get('organization') or self.user}/{asked['name']}"
        if not self._may_write(repository):
            return
        url = f"{self.hub.url}/{repository}"
        if repository in self.hub.branches:
            self._json({"error": "exists", "url": url}, 409)
            return
        self.hub.put(repository, {".gitattributes": b"*.safetensors filter=lfs\n"})
        if asked.get("private") or asked.get("visibility") == "private":
            self.hub.private.add(repository)
        self._json({"url": url, "name": repository})

    def branch(self, repository: str, revision: str) -> None:
        if self._may_write(repository):
            branches = self.hub.branches[repository]
            if revision in branches:
                self._error(409, "Conflict")
                return
            branches[revision] = dict(branches["main"])
            self._json({})

    def absent(self) -> None:
        self._error(404, "NotFound")

    def yaml(self) -> None:
        self._json({"errors": [], "warnings": []})

    def preupload(self, repository: str, revision: str) -> None:
        if self._may_write(repository):
            names = [file["path"] for file in json.loads(self.body)["files"]]
            large = (".safetensors", ".onnx", ".png")
            files = [
                {"path": n, "uploadMode": "lfs" if n.endswith(large) else "regular", "shouldIgnore": False}
                for n in names
            ]
            self._json({"files": files})

    def batch(self, repository: str) -> None:
        if self._may_write(repository):
            objects = [
                asked | {"actions": {"upload": {"href": f"{self.hub.url}/upload/{asked['oid']}"}}}
                for asked in json.loads(self.body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            self._error(400, "BadRequest")
            return
        self.hub.large[oid] = self.body
        self._json({})

    def commit(self, repository: str, revision: str) -> None:
        if not self._may_write(repository):
            return
        files = self.hub.branches[repository][revision]
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        commit = commit_of(files)
        url = f"{self.hub.url}/{repository}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url})

    def info(self, repository: str, revision: str | None = None) -> None:
        found = self._found(repository, revision or "main")
        if found:
            commit, files = found
            siblings = [{"rfilename": n, "size": self._size(n, c)} for n, c in files.items()]
            self._json({"id": repository, "modelId": repository, "sha": commit, "siblings": siblings})

    def tree(self, repository: str, revision: str) -> None:
        found = self._found(repository, revision)
        if found:
            entries = [
                {"type": "file", "path": n, "size": self._size(n, c), "oid": hashlib.sha1(c).hexdigest()}
                for n, c in found[1].items()
            ]
            self._json(entries)

    def resolve(self, repository: str, revision: str, file: str) -> None:
        found = self._found(repository, revision)
        if found is None:
            return
        commit, files = found
        if file not in files:
            self._error(404, "EntryNotFound")
            return
        if self.command == "GET":
            self.hub.downloaded.append(file)
        headers = {"ETag": f'"{hashlib.sha256(files[file]).hexdigest()}"', "X-Repo-Commit": commit}
        self._send(files[file], 200, headers)

    def _size(self, name: str, content: bytes) -> int:
        return self.hub.claimed_sizes.get(name, len(content))


_REPOSITORY = r"(?P<repository>[\w.-]+/[\w.-]+)"
_API = f"/api/models/{_REPOSITORY}"
_ROUTES = [
    (("GET",), "/api/agent-harnesses", _Handler.absent),  # the client does without
    (("POST",), "/api/repos/create", _Handler.create),
    (("POST",), "/api/validate-yaml", _Handler.yaml),
    (("POST",), f"{_API}/branch/(?P<revision>.+)", _Handler.branch),
    (("POST",), f"{_API}/preupload/(?P<revision>.+)", _Handler.preupload),
    (("POST",), f"{_API}/commit/(?P<revision>.+)", _Handler.commit),
    (("POST",), rf"/{_REPOSITORY}\.git/info/lfs/objects/batch", _Handler.batch),
    (("PUT",), "/upload/(?P<oid>.+)", _Handler.upload),
    (("GET",), f"{_API}/revision/(?P<revision>.+)", _Handler.info),
    (("GET",), f"{_API}/tree/(?P<revision>[^/]+)", _Handler.tree),
    (("GET",), _API, _Handler.info),
    (("GET", "HEAD"), f"/{_REPOSITORY}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", _Handler.resolve),
]

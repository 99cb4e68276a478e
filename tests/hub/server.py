"""A Hub on loopback, for the real huggingface_hub client: repositories, commits, LFS, Xet, and faults on request.

Standard library alone, state in memory. What it answers was read off the client, which is the judge of it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

OWNER = "me"
WRITE, READ = "hf_write", "hf_read"
Mode = Literal["lfs", "regular", "xet"]
FRONT_MATTER = re.compile(r"\A\s*---\n(.*?)\n---\n", re.DOTALL)
COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")


@dataclass(frozen=True)
class Blob:
    """A file: its bytes, or for a large one the hash under which they are stored."""

    size: int
    content: bytes = b""
    sha256: str | None = None

    @property
    def oid(self) -> str:
        """The name that git gives it; that of a large one is of the pointer."""
        content = self.content
        if self.sha256 is not None:
            content = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
                self.sha256.encode(),
                self.size,
            )
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    files: dict[str, Blob]
    parent: str | None = None
    date: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()))


@dataclass
class Repo:
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: int = 0
    variables: dict[str, str] = field(default_factory=dict)

    def find(self, revision: str) -> Commit | None:
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(oid)

    def history(self, revision: str = "main") -> list[Commit]:
        """Newest first."""
        found, commit = [], self.find(revision)
        while commit is not None:
            found.append(commit)
            commit = self.commits.get(commit.parent or "")
        return found


@dataclass
class Fault:
    """What goes wrong with the requests whose "METHOD /path" `where` finds.

    drop: the connection is closed without an answer. half: an upload is read half, a download sent half, and then the
    connection is closed. spoil: the bytes of the answer are others. slow: it comes after `seconds`. A number is the
    HTTP status of an error.
    """

    where: str
    what: Literal["drop", "half", "spoil", "slow"] | int
    times: int = 1
    seconds: float = 0.0


class Refused(Exception):
    """An error of the Hub, with the status and the code that the client knows it by."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers


class Hub:
    """The state of the Hub, its address, and what is to go wrong."""

    def __init__(self) -> None:
        self.server: ThreadingHTTPServer | None = None
        self.lock = threading.RLock()
        self.connections: set[socket.socket] = set()
        self.reset()

    def reset(self, mode: Mode = "lfs", xet: Path | None = None) -> None:
        """Forget everything.

        Args:
            mode: how large files come: through LFS, like every small one, or through Xet.
            xet: the folder that holds the chunks of the latter; hf_xet takes it for its storage.
        """
        self.mode, self.xet = mode, xet
        self.repos: dict[tuple[str, str], Repo] = {}
        self.stored: dict[str, bytes] = {}
        self.xet_names: dict[str, str] = {}
        self.log: list[str] = []
        self.faults: list[Fault] = []

    def start(self, port: int = 0) -> int:
        handler = type("HubHandler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self.server.server_port

    def stop(self) -> None:
        assert self.server is not None
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        for connection in list(self.connections):  # a client keeps them for its next request
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    # Repositories.

    def repo(self, repo_id: str, kind: str = "model") -> Repo:
        return self.repos[kind, repo_id]

    def create(self, repo_id: str, kind: str = "model", *, private: bool = False) -> Repo:
        repo = self.repos[kind, repo_id] = Repo(private)
        text = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
        self.commit(repo, "main", "initial commit", {".gitattributes": Blob(len(text), text)})
        return repo

    def commit(self, repo: Repo, branch: str, title: str, files: dict[str, Blob]) -> Commit:
        parent = repo.branches.get(branch)
        commit = Commit(secrets.token_hex(20), title, files, parent)  # never twice: the client remembers them
        repo.commits[commit.oid] = commit
        repo.branches[branch] = commit.oid
        return commit

    def put(self, repo_id: str, path: str, content: bytes, kind: str = "model") -> None:
        """A commit that somebody else makes."""
        repo = self.repo(repo_id, kind)
        files = dict(repo.history()[0].files)
        self.commit(repo, "main", f"Edit {path}", {**files, path: Blob(len(content), content)})

    def text(self, repo_id: str, path: str, revision: str = "main", kind: str = "model") -> str:
        commit = self.repo(repo_id, kind).find(revision)
        assert commit is not None
        return commit.files[path].content.decode()

    # Faults.

    def fails(self, where: str, what: Any, *, times: int = 1, seconds: float = 0.0) -> None:
        self.faults.append(Fault(where, what, times, seconds))

    def fault_of(self, request: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.where, request):
                    fault.times -= 1
                    return fault
        return None

    def count(self, where: str) -> int:
        """How many requests so far look like this."""
        return sum(bool(re.search(where, line)) for line in self.log)


def xet_names(folder: Path) -> dict[str, str]:
    """sha256 -> Xet hash of every file in the storage that hf_xet keeps in a folder, from its shards.

    A shard is a header of 48 bytes and then one block for each file: its hash and flags, 48 bytes for each of its
    segments, as many for their checks if bit 31 is set, and 48 bytes with the sha256 if bit 30 is.
    """

    def hexadecimal(raw: bytes) -> str:
        return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))

    names = {}
    for shard in folder.glob("**/shards/*.mdb"):
        raw, at = shard.read_bytes(), 48
        while at + 48 <= len(raw) and raw[at : at + 32] != b"\xff" * 32:
            name = raw[at : at + 32]
            flags, segments = struct.unpack("<II", raw[at + 32 : at + 40])
            at += 48 * (1 + segments * (2 if flags >> 31 & 1 else 1))
            if flags >> 30 & 1:
                names[hexadecimal(raw[at : at + 32])] = hexadecimal(name)
                at += 48
    return names


def metadata_errors(text: str, kind: str) -> list[str]:
    """What is wrong with the front matter of a card."""
    found = FRONT_MATTER.match(text)
    if found is None:
        return []
    try:
        values = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [f"the YAML cannot be read: {error}"]
    if not isinstance(values, dict):
        return ["the front matter must be an object"]
    errors = []
    for key in ("license", "library_name", "pipeline_tag", "title", "short_description"):
        if key in values and not isinstance(values[key], str):
            errors.append(f'"{key}" must be a string')
    for key in ("tags", "datasets", "metrics"):
        if key in values and not (isinstance(values[key], list) and all(isinstance(v, str) for v in values[key])):
            errors.append(f'"{key}" must be a list of strings')
    if kind == "space":
        if values.get("sdk") not in ("gradio", "docker", "static"):
            errors.append('"sdk" must be one of gradio, docker, static')
        errors += [f'"{key}" must be a color' for key in ("colorFrom", "colorTo") if values.get(key) not in COLORS]
        if len(values.get("short_description", "")) > 60:
            errors.append('"short_description" is longer than 60 characters')
    for model in values.get("model-index", []):
        if not isinstance(model.get("name"), str):
            errors.append('"model-index[0].name" is required')
        for result in model.get("results", []):
            places = [("task", "type"), ("dataset", "type"), ("dataset", "name")]
            errors += [f'"model-index: {a}.{b}" is required' for a, b in places if not result.get(a, {}).get(b)]
            for metric in result.get("metrics", [{}]):
                if not isinstance(metric.get("type"), str) or "value" not in metric:
                    errors.append('"model-index: metrics" need type and value')
    return errors


Route = tuple[str, re.Pattern[str], Callable[..., None]]
ROUTES: list[Route] = []
REPO = r"(?:(?P<kind>model|dataset|space)s/)?(?P<repo_id>[^/]+/[^/]+)"


def route(method: str, pattern: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def add(function: Callable[..., None]) -> Callable[..., None]:
        ROUTES.append((method, re.compile(pattern), function))
        return function

    return add


class Handler(BaseHTTPRequestHandler):
    """One request: find the route, apply the fault, answer."""

    protocol_version = "HTTP/1.1"
    hub: Hub
    fault: Fault | None = None

    def log_message(self, *_: Any) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.hub.connections.add(self.connection)

    def finish(self) -> None:
        self.hub.connections.discard(self.connection)
        super().finish()

    def answer(self) -> None:
        url = urlsplit(self.path)
        request = f"{self.command} {unquote(self.path)}"
        self.hub.log.append(request)
        self.fault = self.hub.fault_of(request)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        what = self.fault.what if self.fault else None
        length = int(self.headers.get("Content-Length") or 0)
        if what == "drop" or (what == "half" and self.command in ("POST", "PUT")):
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        self.body = self.rfile.read(length)
        try:
            if what == "slow" and self.fault:
                threading.Event().wait(self.fault.seconds)
            if isinstance(what, int):
                raise Refused(what, "as the test asks")
            for method, pattern, function in ROUTES:
                if method == self.command.replace("HEAD", "GET") and (found := pattern.fullmatch(url.path)):
                    arguments = {key: unquote(value) for key, value in found.groupdict().items() if value is not None}
                    with self.hub.lock:
                        reply = function(self, **arguments)
                    return self.reply(*reply) if reply else None
            raise Refused(404, f"there is no {request}")
        except Refused as error:
            headers = {"X-Error-Code": error.code, "X-Error-Message": error.message, **error.headers}
            self.reply({"error": error.message}, error.status, {k: v for k, v in headers.items() if v})
        except (ConnectionError, TimeoutError):  # the client hung up
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

    def reply(self, value: Any = b"", status: int = 200, headers: dict[str, Any] | None = None) -> None:
        """Send bytes, or anything else as JSON."""
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers = {"Content-Type": "application/json", "Content-Length": len(raw), **(headers or {})}
        self.send_response(status)
        for key, text in headers.items():
            self.send_header(key, str(text))
        self.end_headers()
        if self.command == "HEAD":
            return
        what = self.fault.what if self.fault else None
        if what == "spoil":
            raw = bytes(byte ^ 1 for byte in raw)
        if what == "half":
            raw, self.close_connection = raw[: len(raw) // 2], True
        self.wfile.write(raw)

    def send_content(self, content: bytes, headers: dict[str, Any]) -> None:
        """A file, or the range of it that is asked for."""
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if found is None:
            return self.reply(content, 200, headers)
        start, end = int(found[1]), int(found[2]) + 1 if found[2] else len(content)
        part = content[start:end]
        headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self.reply(part, 206, headers)

    # Who asks, and for what.

    @property
    def address(self) -> str:
        return f"http://{self.headers['Host']}"

    def token(self) -> str | None:
        header = self.headers.get("Authorization")
        if header is None:
            return None
        token = header.removeprefix("Bearer ")
        if token not in (READ, WRITE):
            raise Refused(401, "Invalid credentials in Authorization header")
        return token

    def need_write(self) -> None:
        token = self.token()
        if token is None:
            raise Refused(401, "Invalid username or password.")
        if token == READ:
            raise Refused(403, "Forbidden: this token may only read")

    def repo(self, repo_id: str, kind: str = "model") -> Repo:
        repo = self.hub.repos.get((kind, repo_id))
        if repo is None or (repo.private and self.token() is None):
            # The real one sends no code with a 401, but the client then looks for https in the address.
            raise Refused(401 if self.token() is None else 404, "Repository not found", "RepoNotFound")
        return repo

    def commit(self, repo: Repo, revision: str) -> Commit:
        commit = repo.find(revision)
        if commit is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def url(self, repo_id: str, kind: str) -> str:
        return f"{self.address}/{'' if kind == 'model' else kind + 's/'}{repo_id}"

    # Repositories.

    @route("GET", "/api/whoami-v2")
    def whoami(self) -> Any:
        token = self.token()
        if token is None:
            raise Refused(401, "Invalid username or password.")
        role = {"displayName": "test", "role": "write" if token == WRITE else "read"}
        return ({"type": "user", "id": "1", "name": OWNER, "orgs": [], "auth": {"accessToken": role}},)

    @route("POST", "/api/repos/create")
    def create_repo(self) -> Any:
        self.need_write()
        asked = json.loads(self.body)
        kind, owner = asked.get("type") or "model", asked.get("organization") or OWNER
        repo_id = f"{owner}/{asked['name']}"
        if owner != OWNER:
            raise Refused(403, f"You don't have the rights to create a {kind} under the namespace {owner!r}")
        if (kind, repo_id) in self.hub.repos:
            answer = {"error": "You already created this repo", "url": self.url(repo_id, kind)}
            return answer, 409
        if kind == "space" and not asked.get("sdk"):
            raise Refused(400, '"sdk" is required for a Space')
        self.hub.create(repo_id, kind, private=bool(asked.get("private") or asked.get("visibility") == "private"))
        return ({"url": self.url(repo_id, kind), "name": repo_id, "id": repo_id},)

    @route("POST", "/api/validate-yaml")
    def validate(self) -> Any:
        asked = json.loads(self.body)
        errors = metadata_errors(asked["content"], asked.get("repoType") or "model")
        return {"errors": [{"message": e} for e in errors], "warnings": []}, 400 if errors else 200

    @route("GET", rf"/api/{REPO}(?:/revision/(?P<revision>[^/]+))?")
    def info(self, repo_id: str, kind: str, revision: str = "main") -> Any:
        repo = self.repo(repo_id, kind)
        commit = self.commit(repo, revision)
        siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.files)]
        if self.query.get("blobs"):
            for row in siblings:
                blob = commit.files[row["rfilename"]]
                row |= {"size": blob.size, "blobId": blob.oid}
                if blob.sha256:
                    row["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": 134}
        about = {"id": repo_id, "author": OWNER, "private": repo.private, "disabled": False, "gated": False}
        about |= {"downloads": 0, "likes": 0, "tags": [], "createdAt": commit.date, "lastModified": commit.date}
        return ({**about, "_id": "0", "sha": commit.oid, "siblings": siblings},)

    @route("GET", rf"/api/{REPO}/refs")
    def refs(self, repo_id: str, kind: str) -> Any:
        repo = self.repo(repo_id, kind)
        branches = {name: oid for name, oid in repo.branches.items() if not name.startswith("refs/")}

        def rows(names: dict[str, str], where: str) -> list[dict[str, str]]:
            return [{"name": n, "ref": f"refs/{where}/{n}", "targetCommit": oid} for n, oid in names.items()]

        return ({"branches": rows(branches, "heads"), "tags": rows(repo.tags, "tags"), "converts": []},)

    @route("GET", rf"/api/{REPO}/commits/(?P<revision>[^/]+)")
    def commits(self, repo_id: str, kind: str, revision: str) -> Any:
        history = self.repo(repo_id, kind).history(revision)
        author = [{"user": OWNER}]
        rows = [{"id": c.oid, "title": c.title, "message": "", "date": c.date, "authors": author} for c in history]
        return (rows,)

    @route("POST", rf"/api/{REPO}/tag/(?P<revision>[^/]+)")
    def tag(self, repo_id: str, kind: str, revision: str) -> Any:
        self.need_write()
        repo, name = self.repo(repo_id, kind), json.loads(self.body)["tag"]
        if name in repo.tags:
            raise Refused(409, f"Tag reference exists already: refs/tags/{name}")
        repo.tags[name] = self.commit(repo, revision).oid
        return ({},)

    @route("POST", rf"/api/{REPO}/branch/(?P<name>[^/]+)")
    def branch(self, repo_id: str, kind: str, name: str) -> Any:
        self.need_write()
        repo = self.repo(repo_id, kind)
        if name in repo.branches:
            raise Refused(409, "Reference already exists")
        repo.branches[name] = self.commit(repo, json.loads(self.body or b"{}").get("startingPoint", "main")).oid
        return ({},)

    @route("POST", rf"/api/{REPO}/variables")
    def variable(self, repo_id: str, kind: str) -> Any:
        self.need_write()
        repo, asked = self.repo(repo_id, kind), json.loads(self.body)
        repo.variables[asked["key"]] = asked["value"]
        return ({key: {"key": key, "value": value} for key, value in repo.variables.items()},)

    # Files.

    def row(self, path: str, blob: Blob) -> dict[str, Any]:
        row: dict[str, Any] = {"type": "file", "path": path, "oid": blob.oid, "size": blob.size}
        if blob.sha256:
            row["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 134}
            if blob.sha256 in self.hub.xet_names:
                row["xetHash"] = self.hub.xet_names[blob.sha256]
        return row

    @route("GET", rf"/api/{REPO}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.*))?")
    def tree(self, repo_id: str, kind: str, revision: str, folder: str = "") -> Any:
        prefix = f"{folder}/" if folder else ""
        deep = self.query.get("recursive", "").lower() in ("true", "1")
        rows, folders = [], set()
        for path, blob in sorted(self.commit(self.repo(repo_id, kind), revision).files.items()):
            if path.startswith(prefix):
                parents = path[len(prefix) :].split("/")[:-1]
                folders |= {prefix + "/".join(parents[: i + 1]) for i in range(len(parents) if deep else 1) if parents}
                if deep or not parents:
                    rows.append(self.row(path, blob))
        return ([{"type": "directory", "path": p, "oid": "0" * 40, "size": 0} for p in sorted(folders)] + rows,)

    @route("POST", rf"/api/{REPO}/paths-info/(?P<revision>[^/]+)")
    def paths_info(self, repo_id: str, kind: str, revision: str) -> Any:
        files = self.commit(self.repo(repo_id, kind), revision).files
        return ([self.row(path, files[path]) for path in json.loads(self.body)["paths"] if path in files],)

    @route("GET", rf"/{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
    def resolve(self, repo_id: str, revision: str, path: str, kind: str = "model") -> Any:
        commit = self.commit(self.repo(repo_id, kind), revision)
        blob = commit.files.get(path)
        if blob is None:
            raise Refused(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": commit.oid})
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.etag}"'}
        if blob.sha256 is None:
            return self.send_content(blob.content, headers)
        headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
        # Under another name of this machine: the client follows a redirect on one host, and there misses X-Repo-Commit.
        assert self.hub.server is not None
        headers["Location"] = f"http://localhost:{self.hub.server.server_port}/storage/{blob.sha256}"
        if blob.sha256 in self.hub.xet_names:
            headers["X-Xet-Hash"] = self.hub.xet_names[blob.sha256]
            headers["X-Xet-Refresh-Route"] = f"{self.address}/api/{kind}s/{repo_id}/xet-read-token/{commit.oid}"
        return b"", 302, headers

    # Uploads: ask how, send what is large, then commit.

    @route("POST", rf"/api/{REPO}/preupload/(?P<revision>[^/]+)")
    def preupload(self, repo_id: str, kind: str, revision: str) -> Any:
        self.need_write()
        files = self.commit(self.repo(repo_id, kind), revision).files
        rows = []
        for asked in json.loads(self.body)["files"]:
            path, size = asked["path"], asked["size"]
            # The Hub keeps text of up to 10 MB as it is.
            large = path.endswith(".safetensors") or (size > 10_000 and not path.endswith((".md", ".py", ".json")))
            large = large and self.hub.mode != "regular"
            row = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            if path in files:
                row["oid"] = files[path].etag
            rows.append(row)
        return ({"files": rows},)

    @route("POST", rf"/{REPO}\.git/info/lfs/objects/batch")
    def lfs_batch(self, repo_id: str, kind: str = "model") -> Any:
        self.need_write()
        rows = []
        for asked in json.loads(self.body)["objects"]:
            row = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.stored:
                row["actions"] = {"upload": {"href": f"{self.address}/storage/{asked['oid']}"}}
            rows.append(row)
        return {"transfer": "basic", "objects": rows}, 200, {"Content-Type": "application/vnd.git-lfs+json"}

    @route("PUT", "/storage/(?P<sha256>[0-9a-f]{64})")
    def store(self, sha256: str) -> Any:
        if hashlib.sha256(self.body).hexdigest() != sha256:
            raise Refused(400, "the checksum is wrong")
        self.hub.stored[sha256] = self.body
        return b"", 200, {"ETag": f'"{sha256}"'}

    @route("GET", "/storage/(?P<sha256>[0-9a-f]{64})")
    def stored(self, sha256: str) -> Any:
        return self.send_content(self.hub.stored[sha256], {"ETag": f'"{sha256}"'})

    @route("GET", rf"/api/{REPO}/xet-(?P<what>read|write)-token/(?P<revision>[^/]+)")
    def xet_token(self, repo_id: str, kind: str, what: str, revision: str) -> Any:
        self.repo(repo_id, kind)
        if what == "write":
            self.need_write()
        address, until = f"local://{self.hub.xet}", int(time.time()) + 3600
        headers = {"X-Xet-Cas-Url": address, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": until}
        return {"casUrl": address, "accessToken": "xet", "exp": until}, 200, headers

    @route("POST", rf"/api/{REPO}/commit/(?P<branch>[^/]+)")
    def make_commit(self, repo_id: str, kind: str, branch: str) -> Any:
        self.need_write()
        repo = self.repo(repo_id, kind)
        parent = self.commit(repo, branch)
        if self.hub.xet is not None:
            self.hub.xet_names |= xet_names(self.hub.xet)
        files, title = dict(parent.files), ""
        for key, value in self.operations():
            if key == "header":
                title = value["summary"]
                if value.get("parentCommit") not in (None, parent.oid):
                    raise Refused(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                content = base64.b64decode(value["content"])
                files[value["path"]] = Blob(len(content), content)
            elif key == "lfsFile":
                if value["oid"] not in self.hub.stored and value["oid"] not in self.hub.xet_names:
                    raise Refused(422, f"a pointer points to a file that was not uploaded: {value['oid']}")
                files[value["path"]] = Blob(value["size"], sha256=value["oid"])
            elif key == "deletedFile" and files.pop(value["path"], None) is None:
                raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
        pull = None
        if self.query.get("create_pr"):
            repo.pulls += 1
            pull, branch = f"{self.url(repo_id, kind)}/discussions/{repo.pulls}", f"refs/pr/{repo.pulls}"
            repo.branches[branch] = parent.oid
        commit = self.hub.commit(repo, branch, title, files)
        address = f"{self.url(repo_id, kind)}/commit/{commit.oid}"
        return ({"success": True, "commitOid": commit.oid, "commitUrl": address, "pullRequestUrl": pull},)

    def operations(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for line in self.body.splitlines():
            row = json.loads(line)
            yield row["key"], row["value"]

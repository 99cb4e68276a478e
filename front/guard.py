"""What a request may hold and ask for, checked before gradio reads it.

Gradio fetches any web address that stands where a file is expected, relays others (/file=https://…, /proxy=…), keeps a
page's state on disk for whoever asks, and takes a thousand files in one request. No visitor of this app needs that.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from gradio.utils import get_upload_folder
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MB = 10**6
MAX_UPLOAD_MB = 20
MAX_ASKED_MB = 1  # of a request without a file: knobs, choices, moves
MAX_KEPT_MB = 4000  # of all pictures that were sent and files that were made, on disk
FORM_BYTES = 10_000  # what a form adds to the file in it
MAX_DEPTH = 20
ASKS = re.compile(r"/((run|api|call)/.+|queue/join|cancel|reset|component_server|upload|mcp(/.*)?)/?")
UPLOAD = re.compile(r"/upload/?")
MCP = re.compile(r"/mcp(/.*)?")  # an AI client's tool call holds its picture, in base64
# An address has a scheme of two letters at least; one letter is a disk.
CLOSED = re.compile(r"/(proxy=|deep_link|monitoring|process_recording|file[=/]+[a-z][a-z0-9+.-]+:/)", re.IGNORECASE)


class Refused(Exception):
    """An answer for the visitor: a status and one sentence.

    `most_to_read`: bytes of the request to take and forget first, since most clients listen only when they have spoken.
    """

    def __init__(self, status: int, sentence: str, most_to_read: int = 0) -> None:
        super().__init__(sentence)
        self.status = status
        self.most_to_read = most_to_read


class Guard:
    """Middleware that answers by itself what the app should never see.

    Args:
        app: the application behind it.
        prefix: where gradio's own routes begin.
    """

    def __init__(self, app: ASGIApp, prefix: str = "/gradio_api") -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        root = root_of(scope.get("root_path", ""))
        route = under(root, scope["path"])
        # The routes behind see the same root, so that they read no path otherwise than it was judged.
        scope = {**scope, "root_path": root}
        if not route:  # what the page names lies beside it, so its address ends in a slash
            query = scope["query_string"].decode("latin-1")
            await RedirectResponse(f"{root}/{query and '?'}{query}")(scope, receive, send)
            return
        try:
            if CLOSED.match(under(self.prefix, re.sub("/+", "/", route))):
                raise Refused(404, "There is nothing here.")
            if scope["method"] not in ("GET", "HEAD", "OPTIONS", "DELETE"):
                receive = await self._checked(under(self.prefix, route), scope, receive)
        except Refused as refused:
            if refused.most_to_read:
                await throw_away(receive, refused.most_to_read)
            # The rest of a body that nobody reads must not be taken for the next request.
            answer = PlainTextResponse(str(refused), refused.status, {"Connection": "close"})
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _checked(self, path: str, scope: Scope, receive: Receive) -> Receive:
        """The body of a request as the app may read it."""
        if not ASKS.fullmatch(path):
            raise Refused(404, "There is nothing here.")
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit() or len(length) > 15:
            raise Refused(411, "Say in Content-Length how long the request is.")
        upload = UPLOAD.fullmatch(path)
        most = MAX_UPLOAD_MB * MB + FORM_BYTES if upload else MAX_ASKED_MB * MB
        if MCP.fullmatch(path):
            most = 2 * MAX_UPLOAD_MB * MB
        if int(length) > most:
            raise Refused(413, f"That is more than {most // MB} MB; send a smaller picture.", 5 * MAX_UPLOAD_MB * MB)
        if upload:
            if await run_sync(kept_bytes, Path(get_upload_folder())) > MAX_KEPT_MB * MB:
                raise Refused(507, "There are too many pictures here at the moment; come back in an hour.")
            return receive
        body = await read(receive)
        try:
            paths = file_paths(json.loads(body)) if body.strip() else []
        except (ValueError, RecursionError):
            raise Refused(400, "That is not JSON that this app can read.") from None
        if not all(was_sent(path, Path(get_upload_folder())) for path in paths):
            raise Refused(400, "A picture cannot be given by an address or a path of your own; send the file itself.")
        return replay(body, receive)


def root_of(root_path: str) -> str:
    """ "/gradio" of all that may be written for it: /gradio/, https://example.org/gradio; "" of the top."""
    path = urlsplit(root_path).path.strip("/")
    return path and f"/{path}"


def under(root: str, path: str) -> str:
    """The rest of a path below `root`, or the path itself where it lies elsewhere; whole names count, not letters.

    This is how the routes are found, too: a proxy may hand a path on with its root or without it.
    """
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path


async def read(receive: Receive) -> bytes:
    """A whole body; the server has checked that it is as long as it says."""
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def throw_away(receive: Receive, most: int) -> None:
    """Take a body without keeping it, until it ends or is longer than `most` bytes."""
    while most > 0:
        message = await receive()
        most -= len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


def replay(body: bytes, receive: Receive) -> Receive:
    """`receive` for whoever reads the body a second time; then it tells when the visitor leaves, as before."""
    first = True

    async def again() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


def file_paths(value: Any) -> list[str]:
    """What JSON names as a file, at any depth: {"path": …}.

    Raises:
        ValueError: if it is nested deeper than any request of ours.
    """
    found: list[str] = []
    level = [value]
    for _ in range(MAX_DEPTH):
        if not level:
            return found
        found += [v["path"] for v in level if isinstance(v, dict) and isinstance(v.get("path"), str)]
        level = [
            inner for v in level if isinstance(v, (dict, list)) for inner in (v.values() if isinstance(v, dict) else v)
        ]
    raise ValueError("nested too deep")


def was_sent(path: str, folder: Path) -> bool:
    """Whether a path leads into the folder of what visitors sent."""
    try:
        return Path(path).is_absolute() and Path(path).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # too long, or no path at all
        return False


def kept_bytes(folder: Path) -> int:
    """Size of all files in a folder, however deep."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # taken away meanwhile
                total += os.stat(os.path.join(where, name)).st_size
    return total

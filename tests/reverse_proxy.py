"""A reverse proxy: what comes in under a sub-path is asked of the app, and its answer streamed back."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOT_HANDED_ON = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade"}  # RFC 9110, 7.6.1


@contextmanager
def reverse_proxy(port: int, root: str, *, strips: bool) -> Iterator[str]:
    """The app at `port` of this machine under the path `root` of another port; the address of that.

    Args:
        root: such as /gradio; nothing is served beside it.
        strips: whether the app is asked without the root, as by nginx with a proxy_pass that ends in a slash.
    """

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if not self.path.startswith(root):
                self.send_error(404, "not under the root")
                return
            path = self.path.removeprefix(root) if strips else self.path
            if not path.startswith("/"):  # as nginx does, whose root ends in a slash
                self.send_response(301)
                self.send_header("Location", f"{root}/{path}")
                self.end_headers()
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() not in NOT_HANDED_ON}
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            app = http.client.HTTPConnection("127.0.0.1", port)
            app.request(self.command, path, body, headers)
            answer = app.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in NOT_HANDED_ON:
                    self.send_header(name, value)
            self.end_headers()
            while part := answer.read1(1 << 16):
                self.wfile.write(part)
                self.wfile.flush()
            app.close()

        do_GET = do_HEAD = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError, http.client.HTTPException):  # whoever asked has gone
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{root}"
    finally:
        server.shutdown()
        server.server_close()

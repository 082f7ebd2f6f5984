"""A small web server on this machine whose faults can be chosen, for the tests of downloads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """Files of a server and how it behaves.

    `cut[name]` is a list of numbers of bytes after which the next answers for the file end;
    `answers[name]` a list of (status, body) to be given first.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    answers: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    html: set[str] = field(default_factory=set)
    redirects: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    etag: str = '"one"'
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serve() -> Iterator[Web]:
    """Run the server while the block runs."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            asked = self.headers.get("Range")
            web.asked.append((name, asked))
            if name in web.redirects:
                self.send_response(302)
                self.send_header("Location", web.redirects[name])
                self.end_headers()
                return
            if web.answers.get(name):
                status, body = web.answers[name].pop(0)
                return self.answer(status, body, "text/html")
            if name not in web.files:
                return self.answer(404, b"<html>not found</html>", "text/html")
            body, start = web.files[name], 0
            fits = self.headers.get("If-Range") in (None, web.etag)
            if asked and web.ranges and fits:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                if start >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.end_headers()
                    return None
            kind = "text/html; charset=utf-8" if name in web.html else "application/octet-stream"
            cuts = web.cut.get(name, [])
            n_sent = cuts.pop(0) if cuts else None
            return self.answer(206 if start else 200, body[start:], kind, start, n_sent)

        def answer(
            self, status: int, body: bytes, kind: str, start: int = 0, n_sent: int | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", web.etag)
            if status == 206:
                last = start + len(body) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
            self.end_headers()
            self.wfile.write(body[:n_sent])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

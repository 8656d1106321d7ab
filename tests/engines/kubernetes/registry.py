"""A registry of images on loopback, which a containerd asks for whatever name it is to pull.

    registry.py DIRECTORY PORT

Runs alone inside of a machine. In DIRECTORY, `NAME/TAG` is a manifest or a link to one, and a file that is named as its
digest is a manifest or a blob.
"""

from __future__ import annotations

import hashlib
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Handler(BaseHTTPRequestHandler):
    """Answers the reading half of the distribution specification."""

    directory = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a manifest or a blob."""
        path = self.path.partition("?")[0]
        above, _, reference = path.removeprefix("/v2/").rpartition("/")
        name, _, kind = above.rpartition("/")
        file = f"{self.directory}/{reference if ':' in reference else f'{name}/{reference}'}"
        if path == "/v2/":
            self._answer(200, b"{}", "application/json")
        elif kind in ("manifests", "blobs") and os.path.isfile(file):
            with open(file, "rb") as source:
                self._answer(200, source.read(), MANIFEST if kind == "manifests" else "application/octet-stream")
        else:
            self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}', "application/json")

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self.do_GET()

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(body).hexdigest()}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def main() -> None:
    """Serve until killed."""
    Handler.directory = sys.argv[1]
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()


if __name__ == "__main__":
    main()

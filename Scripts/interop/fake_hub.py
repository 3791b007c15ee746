"""A hub on 127.0.0.1 with one model, whose large files lie on a second server that breaks off.

It speaks as much of the hub's protocol as its own library and `qlora download` use.
"""

import hashlib
import json
import pathlib
import random
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ID = "qlora-tests/tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".bin")
PIECE = 1 << 16


def git_digest(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class FakeHub:
    """Serves the files of a folder; `cuts` connections of the store end at a random byte.

    `pause` seconds pass before each 64 KiB of the store.
    """

    def __init__(self, folder, cuts=0, seed=0, pause=0.0):
        folder = pathlib.Path(folder)
        self.files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        self.digests = {
            name: (git_digest(data), hashlib.sha256(data).hexdigest())
            for name, data in self.files.items()
        }
        self.cuts, self.generator, self.pause = cuts, random.Random(seed), pause
        self.lock = threading.Lock()
        # (server, method, path, whether a token came)
        self.requests = []
        self.sent = self.disconnects = self.resumed = 0
        self.hub = self._serve(self._answer_hub)
        self.store = self._serve(self._answer_store)
        self.address = f"http://127.0.0.1:{self.hub.server_port}"

    def close(self):
        for server in (self.hub, self.store):
            server.shutdown()
            server.server_close()

    def _serve(self, answer):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                name = "hub" if answer == outer._answer_hub else "store"
                with outer.lock:
                    outer.requests.append(
                        (name, self.command, self.path, "Authorization" in self.headers)
                    )
                answer(self)

            do_HEAD = do_GET

        class Server(ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                """Clients that are killed break off; that is what is tried here."""

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _send(self, request, status, headers, body=b""):
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def _entry(self, name, tree):
        data = self.files[name]
        git, digest = self.digests[name]
        entry = {"size": len(data)}
        entry |= {"type": "file", "path": name, "oid": git} if tree else {}
        entry |= {} if tree else {"rfilename": name, "blobId": git}
        if name.endswith(LARGE):
            lfs = {"size": len(data), "pointerSize": 130}
            entry["lfs"] = lfs | ({"oid": digest} if tree else {"sha256": digest})
        return entry

    def _answer_hub(self, request):
        path = urllib.parse.unquote(urllib.parse.urlsplit(request.path).path)
        api = f"/api/models/{ID}"
        resolve = f"/{ID}/resolve/"
        if path.startswith(f"{api}/tree/"):
            entries = [self._entry(name, True) for name in self.files]
            return self._json(request, entries)
        if path == api or path.startswith(f"{api}/revision/"):
            siblings = [self._entry(name, False) for name in self.files]
            info = {"id": ID, "modelId": ID, "sha": COMMIT, "siblings": siblings}
            return self._json(request, info | {"private": False, "gated": False, "tags": []})
        name = path[len(resolve) :].partition("/")[2] if path.startswith(resolve) else None
        if name not in self.files:
            reason = "RepoNotFound" if name is None else "EntryNotFound"
            return self._send(request, 404, {"X-Error-Code": reason, "X-Repo-Commit": COMMIT})
        data = self.files[name]
        git, digest = self.digests[name]
        if name.endswith(LARGE):
            place = f"http://127.0.0.1:{self.store.server_port}/{digest}"
            return self._send(
                request,
                302,
                {
                    "Location": place,
                    "X-Repo-Commit": COMMIT,
                    "X-Linked-Etag": f'"{digest}"',
                    "X-Linked-Size": str(len(data)),
                },
            )
        headers = {"ETag": f'"{git}"', "X-Repo-Commit": COMMIT}
        return self._send(request, 200, headers, data)

    def _json(self, request, value):
        headers = {"Content-Type": "application/json"}
        return self._send(request, 200, headers, json.dumps(value).encode())

    def _answer_store(self, request):
        digest = request.path[1:]
        found = [name for name, known in self.digests.items() if known[1] == digest]
        if not found:
            return self._send(request, 404, {})
        data = self.files[found[0]]
        start = int(request.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        body = data[start:]
        request.send_response(206 if start else 200)
        request.send_header("ETag", '"store"')
        if start:
            self.resumed += 1
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(body)))
        with self.lock:
            is_cut = self.cuts > 0 and len(body) > 1
            if is_cut:
                self.cuts -= 1
                self.disconnects += 1
                mean = max(2, 2 * len(body) // (self.cuts + 2))
                body = body[: self.generator.randint(1, min(mean, len(body) - 1))]
            self.sent += len(body)
        if is_cut:
            request.send_header("Connection", "close")
            request.close_connection = True
        request.end_headers()
        if not self.pause:
            return request.wfile.write(body)
        for start in range(0, len(body), PIECE):
            time.sleep(self.pause)
            request.wfile.write(body[start : start + PIECE])
        return None

"""The transport against a real HTTP server on a Unix socket that can be stopped, replaced and made to answer badly."""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mlstudio_lab.client.discover import Address
from mlstudio_lab.client.transport import Transport
from mlstudio_lab.core.errors import ERRORS, STATUS, Incompatible, NotFound, StudioError, Unavailable


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "local"

    def log_message(self, *args):
        pass

    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.asked.append(("GET", self.path, dict(self.headers)))
        if self.path.startswith("/api/v1/lines"):
            body = b"".join(json.dumps({"n": n}).encode() + b"\n" for n in (1, 2, 3))
            self.answer(200, body, "application/x-ndjson")
        elif self.path.startswith("/api/v1/fails/"):
            code = self.path.rsplit("/", 1)[1]
            self.answer(STATUS[code], json.dumps({"error": {"code": code, "message": "m", "subject": "s", "hint": "h"}}).encode())
        elif self.path == "/api/v1/odd":
            self.answer(500, b"<html>not ours</html>", "text/html")
        elif self.path == "/api/v1/old":
            self.answer(426, b"", "text/plain")
        elif self.path == "/api/v1/drop":
            self.close_connection = True
            self.connection.shutdown(2)
        else:
            self.answer(200, json.dumps({"path": self.path, "connection": id(self.connection)}).encode())

    def do_POST(self):
        data = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(("POST", self.path, data))
        self.answer(200, json.dumps({"got": data}).encode())

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(("PUT", self.path, data, dict(self.headers)))
        self.answer(200, b"")


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, path):
        self.asked, self.open = [], []
        super().__init__(str(path), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def get_request(self):
        sock, address = super().get_request()
        self.open.append(sock)
        return sock, address

    def stop(self):
        self.shutdown()
        self.server_close()
        for sock in self.open:
            try:
                sock.shutdown(2)
            except OSError:
                pass


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path / "s.sock")
    yield made
    made.stop()


@pytest.fixture
def transport(server):
    made = Transport(lambda: Address("http://mlstudio", Path(server.server_address)))
    yield made
    made.close()


def test_one_connection_serves_many_requests(server, transport):
    connections = {transport.get("/a")["connection"] for _ in range(5)}
    assert len(connections) == 1 and len(server.open) == 1


def test_each_thread_has_its_own_connection(server, transport):
    transport.get("/a")
    threads = [threading.Thread(target=transport.get, args=("/a",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.open) == 4


def test_paths_and_queries_are_quoted_and_empty_ones_left_out(transport):
    answer = transport.get("/datasets/a/b c", column="x&y", direction="", depth=None, n=0)
    assert answer["path"] == "/api/v1/datasets/a/b%20c?column=x%26y&n=0"


def test_a_token_and_the_api_major_go_along(server):
    transport = Transport(lambda: Address("http://mlstudio", Path(server.server_address), "secret"))
    transport.get("/a")
    headers = {k.lower(): v for k, v in server.asked[-1][2].items()}
    assert headers["authorization"] == "Bearer secret" and headers["x-mlstudio-api"] == "1"


@pytest.mark.parametrize("code", sorted(STATUS))
def test_an_error_arrives_as_the_class_it_was(transport, code):
    with pytest.raises(ERRORS[code]) as caught:
        transport.get(f"/fails/{code}")
    assert type(caught.value) is ERRORS[code]
    assert (caught.value.message, caught.value.subject, caught.value.hint) == ("m", "s", "h")


def test_an_answer_that_is_not_ours_is_an_error_with_its_status(transport):
    with pytest.raises(StudioError, match="500"):
        transport.get("/odd")
    with pytest.raises(Incompatible):
        transport.get("/old")


def test_a_replaced_service_is_found_again(server, transport, tmp_path):
    transport.get("/a")
    server.stop()
    (tmp_path / "s.sock").unlink()
    second = Server(tmp_path / "s.sock")
    try:
        assert transport.post("/runs", {"run": "x"}) == {"got": {"run": "x"}}
        assert [a[:2] for a in second.asked] == [("POST", "/api/v1/runs")]
    finally:
        second.stop()


def test_a_service_that_drops_every_connection_is_unavailable(server, transport):
    with pytest.raises(Unavailable, match="does not answer"):
        transport.get("/drop")
    assert 2 <= len([a for a in server.asked if a[1] == "/api/v1/drop"]) <= 5
    assert transport.get("/a")["path"] == "/api/v1/a"


def test_lines_come_one_by_one(transport):
    assert [line["n"] for line in transport.lines("/lines", cursor=2)] == [1, 2, 3]
    with pytest.raises(NotFound):
        list(transport.lines("/fails/not_found"))


def test_raw_bytes_go_with_their_own_type(server, transport):
    transport.put_bytes("/blobs/ab", memoryview(b"\x00\x01"), {"x-mlstudio-kind": "log/1"})
    _, path, data, headers = server.asked[-1]
    assert (path, data) == ("/api/v1/blobs/ab", b"\x00\x01")
    assert {k.lower(): v for k, v in headers.items()}["content-type"] == "application/octet-stream"

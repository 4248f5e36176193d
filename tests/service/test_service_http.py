"""The surface over a real socket: every refusal has one shape, every answer its model."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_rig import function, new_run
from service_rig import START, ServiceRig

from mlstudio_lab.blobs.local import LocalBlobs
from mlstudio_lab.core.errors import STATUS
from mlstudio_lab.data.code_refs import NoCode
from mlstudio_lab.data.content import digest_values
from mlstudio_lab.data.graph import pack
from mlstudio_lab.wire import http as wire
from mlstudio_lab.wire.routes import ROOT, ROUTES

ADD = function("def f(x):\n    print('adding')\n    return x + 1\n", "x")


def request(home: Path, code: Any = ADD, name: str = "demo/f", **values: Any) -> dict[str, Any]:
    return {
        "run": new_run(),
        "module": name,
        "bundle": code.to_json(),
        "values": {k: v.to_json() for k, v in digest_values(values, NoCode()).items()},
        "payload": pack({"args": [], "kwargs": values, "globals": {}}, LocalBlobs(home / "blobs"), NoCode()).to_json(),
        "ambient": {"cwd": "/"},
        "cwd": "/",
        "wait_s": 30,
    }


def test_run_then_hit(service: ServiceRig) -> None:
    first = service.post("/runs", request(service.home, x=1)).json()
    assert wire.RunView.model_validate(first).state == "succeeded"
    again = service.post("/runs", request(service.home, x=1)).json()
    assert again["reused"] and again["reused_from"] == first["number"]
    view = service.get(f"/runs/{again['number']}").json()
    assert view["reused"] and view["outputs"] == first["outputs"]
    assert service.get(f"/runs/{again['id']}/result").json() == first["outputs"]
    assert service.get(f"/runs/{again['id']}/logs").json()["text"] == "adding\n"
    listed = wire.RunList.model_validate(service.get("/runs", params={"module": "demo/f", "limit": 2}).json())
    assert [r.number for r in listed.runs] == [again["number"], first["number"]]
    assert listed.next_before == first["number"]


def test_output_streams_as_lines(service: ServiceRig) -> None:
    code = function("def f(x):\n    for i in range(x):\n        print(i, flush=True)\n", "x")
    body = request(service.home, code, "demo/says", x=3) | {"wait_s": 0}
    run = service.post("/runs", body).json()["id"]
    with service.client() as client, client.stream("GET", f"/runs/{run}/stream") as answer:
        said = [json.loads(line) for line in answer.iter_lines()]
    assert "".join(e["text"] for e in said if e["t"] == "stdout") == "0\n1\n2\n"
    assert (said[-1]["state"], said[-1]["final"]) == ("succeeded", True)
    with service.client() as client, client.stream("GET", f"/runs/{run}/stream", params={"cursor": 1}) as answer:
        later = [json.loads(line) for line in answer.iter_lines()]
    assert later[0]["n"] == 2 and later[-1]["final"]


def test_events_resume_from_their_cursor(service: ServiceRig) -> None:
    done = service.post("/runs", request(service.home, x=50)).json()

    def read(cursor: int, most: int) -> list[dict[str, Any]]:
        found = []
        with service.client() as client, client.stream("GET", "/events", params={"cursor": cursor}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line[6:]))
                    if len(found) == most:
                        break
        return found

    events = read(0, 3)
    assert [e["cursor"] for e in events] == sorted({e["cursor"] for e in events})
    assert read(events[0]["cursor"], 2) == events[1:]
    assert all(set(e["state"]) <= {"number", "module", "state", "reused", "tag"} for e in events)
    assert done["state"] == "succeeded"


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "said"),
    [
        ("GET", "/runs/nothing", None, "bad_name", "not a run"),
        ("GET", "/runs/999999", None, "not_found", "no run"),
        ("GET", "/runs?state=runing", None, "bad_input", "running"),
        ("GET", "/runs?limit=0", None, "bad_input", "limit"),
        ("GET", "/modules/demo/ff", None, "not_found", "demo/f"),
        ("GET", "/modules/Demo/x", None, "bad_name", "namespace/name"),
        ("GET", "/modules/demo/f/versions/v77", None, "not_found", "no version"),
        ("GET", "/modules/demo/f/versions/lastest", None, "not_found", "no version"),
        ("GET", "/datasets/no/such", None, "not_found", "no dataset"),
        ("GET", "/datasets/no/such/lineage?direction=left", None, "bad_input", "up or down"),
        ("GET", "/blobs/xyz", None, "bad_input", ""),
        ("GET", "/blobs/" + "0" * 64, None, "not_found", "no blob"),
        ("GET", "/nowhere", None, "not_found", "no such route"),
        ("DELETE", "/runs", None, "bad_input", "method"),
        ("POST", "/runs", b"{", "bad_input", "not JSON"),
        ("POST", "/runs", b"[]", "bad_input", "object"),
        ("POST", "/runs", {"run": "x"}, "bad_input", "ULID"),
        ("POST", "/runs", {"run": "0" * 26, "module": "../../x"}, "bad_name", "namespace/name"),
        ("POST", "/runs", {"run": "0" * 26, "module": "a/b", "bundle": {"kind": "cell"}}, "bad_input", "bundle"),
        ("POST", "/runs/999999/cancel", None, "not_found", "no run"),
        ("POST", "/runs/999999/clone", {}, "not_found", "no run"),
        ("POST", "/modules", {"name": "a/b", "bundle": {}}, "bad_input", "bundle"),
        ("POST", "/datasets", {"name": "a/b"}, "bad_input", "reference"),
        ("POST", "/blobs/missing", {}, "bad_input", "digests"),
        ("PUT", "/modules/demo/f/tags/v3", {"version": "v1"}, "bad_name", "tag"),
    ],
)
def test_bad_input_gets_an_answer(service: ServiceRig, method: str, path: str, body: Any, code: str, said: str) -> None:
    service.post("/runs", request(service.home, x=1))
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    with service.client() as client:
        answer = client.request(method, path, content=content)
        error = wire.ErrorView.model_validate(answer.json()).error
        assert (error.code, answer.status_code) == (code, 405 if method == "DELETE" else STATUS[code])
        assert said in f"{error.message} {error.hint} {error.subject}"
        assert client.get("/handshake").status_code == 200, "the service is still up"


def test_a_source_that_is_not_python_is_refused(service: ServiceRig) -> None:
    broken = ADD.to_json()
    broken["units"][0]["source"] = "def f(:\n"
    answer = service.post("/runs", {**request(service.home, x=1), "bundle": broken})
    assert (answer.status_code, "line 1" in answer.json()["error"]["message"]) == (422, True)


def test_another_api_major_is_refused(service: ServiceRig) -> None:
    answer = service.get("/handshake", headers={"x-mlstudio-api": "99"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (426, "incompatible")
    assert service.get("/handshake", headers={"x-mlstudio-api": "1"}).json()["api"] == 1


def test_too_much_is_refused(service: ServiceRig) -> None:
    with service.client() as client:
        answer = client.post("/modules", content=(b"x" * (1 << 20) for _ in range(70)))
    assert answer.status_code == 422
    assert service.get("/handshake").status_code == 200


def test_blobs_cross_and_are_checked(service: ServiceRig, tmp_path: Path) -> None:
    ref = LocalBlobs(tmp_path).put("raw/1", [b"hello" * 1000])
    assert service.post("/blobs/missing", {"digests": [ref.digest]}).json() == {"missing": [ref.digest]}
    with service.client() as client:
        put = client.put(f"/blobs/{ref.digest}", content=b"hello" * 1000, headers={"x-mlstudio-kind": "raw/1"})
        assert put.json() == {"digest": ref.digest, "kind": "raw/1", "bytes": 5000}
        got = client.get(f"/blobs/{ref.digest}")
        assert (got.content, got.headers["x-mlstudio-kind"]) == (b"hello" * 1000, "raw/1")
        assert client.put(f"/blobs/{ref.digest}", content=b"other", params={"kind": "raw/1"}).status_code == 422


def test_only_its_owner_reaches_it(service: ServiceRig) -> None:
    path = Path(service.pointer()["socket"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((service.home / "service.json").stat().st_mode) == 0o600


def test_another_user_is_hung_up_on(service: ServiceRig) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to become somebody else")
    path = Path(service.pointer()["socket"])
    become = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print('connected')\n"
    )
    done = subprocess.run([sys.executable, "-c", become, str(path)], capture_output=True, text=True, check=False)
    assert "Permission denied" in done.stderr
    path.parent.chmod(0o711)
    path.chmod(0o666)
    try:
        ask = become + "s.sendall(b'GET /api/v1/handshake HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n'); print('answer', len(s.recv(100)))\n"
        done = subprocess.run([sys.executable, "-c", ask, str(path)], capture_output=True, text=True, check=False)
        assert "answer 0" in done.stdout or "Error" in done.stderr, "the peer's credentials decide, not the file's mode alone"
        assert "HTTP/1.1 200" not in done.stdout
    finally:
        path.chmod(0o600)
        path.parent.chmod(0o700)


def test_a_second_start_points_to_the_first(service: ServiceRig) -> None:
    done = subprocess.run([*START, str(service.home)], env=service.environment, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0
    assert str(service.pointer()["pid"]) in done.stdout


def test_openapi_has_exactly_the_routes_of_the_contract(service: ServiceRig) -> None:
    schema = service.get("/openapi.json").json()
    served = {(method.upper(), path.removeprefix(ROOT)) for path, methods in schema["paths"].items() for method in methods}
    assert served | {("GET", "/openapi.json")} == {(method, path) for method, path, _ in ROUTES}
    assert {"RunRequest", "RunView", "ErrorView", "EventView", "CloneRequest"} <= set(schema["components"]["schemas"])
    text = json.dumps(schema)
    for ref in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert ref in schema["components"]["schemas"]


def test_logs_are_json_without_values(service: ServiceRig) -> None:
    service.post("/runs", request(service.home, x=424_242))
    lines = (service.home / "logs" / "service.log").read_text().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert not any("424242" in line for line in lines)


def test_the_cluster_has_a_light(service: ServiceRig) -> None:
    view = wire.ClusterView.model_validate(service.get("/cluster").json())
    assert view.light in ("green", "amber") and view.executors[0].name == "local"
    assert wire.StatusView.model_validate(service.get("/status").json()).pid == service.pointer()["pid"]

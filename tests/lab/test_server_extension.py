"""The forwarder: signed-in people only, allowed routes only, no word of a strange page, the studio's words passed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from tornado.httpclient import HTTPClientError

from mlstudio_lab.front.server_extension import EventPasser

pytestmark = pytest.mark.usefixtures("nowhere")

RUN = "01JAZZ00000000000000000000"


async def refusal(answer: Any) -> Any:
    with pytest.raises(HTTPClientError) as error:
        await answer
    return error.value.response


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["runs", "start", "shutdown"])
async def test_without_signing_in_nothing_is_answered(http_server_client: Any, jp_base_url: str, method: str, path: str) -> None:
    asked = http_server_client.fetch(f"{jp_base_url}mlstudio/api/{path}", method=method, allow_nonstandard_methods=True)
    assert (await refusal(asked)).code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "shutdown"),
        ("POST", "shutdown"),
        ("GET", "blobs/" + "a" * 64),
        ("GET", "events"),
        ("GET", "openapi.json"),
        ("GET", "start"),
        ("GET", "runs/../shutdown"),
        ("GET", "runs/%2e%2e/blobs"),
        ("GET", f"runs/{RUN}/result"),
        ("GET", f"runs/{RUN}%0a"),
        ("GET", f"runs/{RUN}/stream"),
        ("GET", f"runs/{RUN}%3fx=1"),
        ("POST", "runs"),
        ("POST", "modules"),
        ("POST", f"runs/{RUN}/outcome"),
        ("POST", "blobs/missing"),
    ],
)
async def test_other_routes_do_not_exist(jp_fetch: Any, method: str, path: str) -> None:
    asked = jp_fetch("mlstudio", "api", *path.split("/"), method=method, allow_nonstandard_methods=True)
    assert (await refusal(asked)).code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_do_not_exist(jp_fetch: Any, method: str) -> None:
    asked = jp_fetch("mlstudio", "api", "runs", RUN, method=method, allow_nonstandard_methods=True)
    assert (await refusal(asked)).code == 405


async def test_a_studio_that_is_down_is_said_and_looking_does_not_start_it(jp_fetch: Any, nowhere: Path) -> None:
    refused = await refusal(jp_fetch("mlstudio", "api", "runs"))
    assert refused.code == 503
    body = json.loads(refused.body)
    assert body["error"]["code"] == "unavailable"
    assert body["error"]["hint"]
    assert not (nowhere / "service.json").exists()


async def test_a_large_body_is_refused(jp_fetch: Any) -> None:
    asked = jp_fetch("mlstudio", "api", "runs", RUN, "clone", method="POST", body=b" " * 1_000_001)
    assert (await refusal(asked)).code == 413


async def signed_in(client: Any, base: str, token: str) -> tuple[str, str]:
    """The cookies of a browser that opened a page with the token once, and its XSRF token."""
    answer = await client.fetch(f"{base}lab?token={token}", follow_redirects=False, raise_error=False)
    cookies = [line.split(";", 1)[0] for line in answer.headers.get_list("set-cookie")]
    answer = await client.fetch(f"{base}api/status", headers={"cookie": "; ".join(cookies)})
    cookies += [line.split(";", 1)[0] for line in answer.headers.get_list("set-cookie")]
    xsrf = next((c.partition("=")[2] for c in cookies if c.startswith("_xsrf=")), "")
    return "; ".join(cookies), xsrf


async def test_a_cookie_alone_may_not_change_anything(http_server_client: Any, jp_base_url: str, jp_serverapp: Any, nowhere: Path) -> None:
    base = jp_base_url
    cookie, xsrf = await signed_in(http_server_client, base, jp_serverapp.identity_provider.token)
    assert xsrf
    for path in ("start", f"runs/{RUN}/clone", f"runs/{RUN}/cancel"):
        asked = http_server_client.fetch(f"{base}mlstudio/api/{path}", method="POST", body="{}", headers={"cookie": cookie})
        refused = await refusal(asked)
        assert refused.code == 403
        assert "_xsrf" in refused.body.decode()
    assert not (nowhere / "service.json").exists()
    headers = {"cookie": cookie, "x-xsrftoken": xsrf}
    path = f"{base}mlstudio/api/runs/{RUN}/cancel"
    through = await refusal(http_server_client.fetch(path, method="POST", body="{}", headers=headers))
    assert json.loads(through.body)["error"]["code"] == "unavailable"


class ReadOnly(Authorizer):
    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read" or resource != "mlstudio"


class TestWithAnAuthorizer:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: Any) -> Any:
        jp_server_config["ServerApp"]["authorizer_class"] = ReadOnly
        return jp_server_config

    async def test_a_person_who_may_only_read_starts_and_cancels_nothing(self, jp_fetch: Any, nowhere: Path) -> None:
        for path in ("start", f"runs/{RUN}/cancel"):
            assert (await refusal(jp_fetch("mlstudio", "api", *path.split("/"), method="POST", body="{}"))).code == 403
        assert (await refusal(jp_fetch("mlstudio", "api", "runs"))).code == 503
        assert not (nowhere / "service.json").exists()


class TestAnotherHost:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: Any) -> Any:
        jp_server_config["ServerApp"]["allow_remote_access"] = False
        return jp_server_config

    async def test_a_name_that_points_here_is_not_us(self, jp_fetch: Any) -> None:
        asked = jp_fetch("mlstudio", "api", "runs", headers={"host": "evil.example:80"})
        assert (await refusal(asked)).code == 403


def said(kind: str, subject: str, state: str, cursor: int) -> bytes:
    body = {"cursor": cursor, "kind": kind, "subject": subject, "state": {"state": state, "module": "secret/name"}}
    return f"id: {cursor}\nevent: {kind}\ndata: {json.dumps(body)}\n\n".encode()


class TestEvents:
    def passer(self) -> tuple[EventPasser, list[dict[str, Any]], list[Any]]:
        passed: list[dict[str, Any]] = []
        later: list[Any] = []
        return EventPasser(passed.append, lambda seconds, flush: later.append(flush)), passed, later

    def test_only_ids_and_states_cross(self) -> None:
        passer, passed, later = self.passer()
        passer.feed(b"retry: 1000\n\n" + said("run", "01A", "running", 3))
        later.pop()()
        assert passed == [{"cursor": 3, "kind": "run", "subject": "01A", "state": "running"}]

    def test_a_line_cut_anywhere_is_one_event(self) -> None:
        whole = said("run", "01A", "succeeded", 9)
        for cut in range(len(whole)):
            passer, passed, later = self.passer()
            passer.feed(whole[:cut])
            passer.feed(whole[cut:])
            assert len(later) == 1
            later.pop()()
            assert [event["state"] for event in passed] == ["succeeded"]

    def test_of_one_run_the_newest_state_is_passed_once(self) -> None:
        passer, passed, later = self.passer()
        for cursor, state in enumerate(("queued", "running", "succeeded"), 1):
            passer.feed(said("run", "01A", state, cursor))
        assert len(later) == 1
        later.pop()()
        assert [(event["state"], event["cursor"]) for event in passed] == [("succeeded", 3)]

    def test_a_flood_is_one_event_of_each_kind(self) -> None:
        passer, passed, later = self.passer()
        for number in range(1000):
            passer.feed(said("run", f"r{number}", "succeeded", number + 1))
        passer.feed(said("module", "a/b", "published", 1001))
        later.pop()()
        assert not later
        assert {event["kind"]: event["subject"] for event in passed} == {"run": "", "module": ""}

"""The loopback API: for its owner alone, one line for every mistake, described by itself."""

import asyncio
import json
from functools import partial

import httpx
import pytest

from client.service import http_api
from client.service.access import MOST_BODY, Access, Guard
from client.service.http_api import OPEN_PATHS, build_api
from client.service.service import DeviceService

HOST = "127.0.0.1:8642"
PAGES = ("https://evil.example", "null", "http://127.0.0.1:9999", "http://evil.example:8642")


class Api:
    """The application without a port. `headers` go with every request that gives no others of these names."""

    def __init__(self, app: object, headers: dict[str, str], runner: asyncio.Runner) -> None:
        self.app = app
        self.runner = runner
        self.headers = headers

    def request(self, method: str, path: str, headers: object = None, **given: object) -> httpx.Response:
        sent = headers if isinstance(headers, list) else {**self.headers, **(headers or {})}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                return await client.request(method, path, headers=sent, **given)

        return self.runner.run(send())

    def __getattr__(self, method: str):
        return partial(self.request, method.upper())


@pytest.fixture
def runner():
    """One event loop for all requests of a test: the service's processes belong to it."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def service(folder, runner):
    made = DeviceService(folder)
    yield made
    runner.run(made.close())


@pytest.fixture
def api(service, folder, runner) -> Api:
    access = Access(folder.token())
    guarded = Guard(build_api(service, access), access, lambda: (HOST, "localhost:8642"), OPEN_PATHS)
    headers = {"Host": HOST, "Authorization": f"Bearer {folder.token()}"}
    return Api(guarded, headers, runner)


def refused(response, status: int, told: str) -> None:
    assert response.status_code == status
    assert told in response.json()["error"]
    assert "\n" not in response.json()["error"]
    assert list(response.json()) == ["error"]


EVERYTHING = [
    ("POST", "/events"), ("GET", "/events"), ("GET", "/recommendations"), ("POST", "/feedback"), ("GET", "/why/1"), ("GET", "/privacy"),
    ("GET", "/model"), ("GET", "/status"), ("POST", "/pause"), ("POST", "/resume"), ("DELETE", "/data"), ("GET", "/export"), ("POST", "/links"),
    ("DELETE", "/events/1"), ("DELETE", "/feedback/1"), ("GET", "/openapi.json"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
def test_nothing_is_told_without_the_owners_token(api, method, path):
    for header in ("", "Bearer", "Bearer wrong", "Basic " + "x" * 43):
        refused(
            api.request(method, path, headers={"Authorization": header}), 401, "the owner's token is missing or wrong"
        )


@pytest.mark.parametrize(("method", "path"), [*EVERYTHING, ("GET", "/"), ("POST", "/session")])
def test_another_name_for_this_machine_is_refused_even_with_the_token(api, method, path):
    """DNS rebinding: a page of evil.example, whose name now leads here."""
    for host in ("evil.example:8642", "evil.example", "127.0.0.1", "localhost:80", "127.0.0.1:8642.evil.example", ""):
        refused(api.request(method, path, headers={"Host": host}), 403, "this service is spoken to as 127.0.0.1:8642")


@pytest.mark.parametrize("origin", PAGES)
def test_another_page_is_refused_even_with_the_token(api, origin):
    for method, path in (
        ("POST", "/pause"),
        ("DELETE", "/data"),
        ("GET", "/export"),
        ("OPTIONS", "/data"),
        ("POST", "/session"),
    ):
        response = api.request(method, path, headers={"Origin": origin})
        refused(response, 403, "no other page may use this service")
        assert not [name for name in response.headers if name.startswith("access-control")], "CORS stays closed"
    assert api.post("/pause", headers={"Origin": f"http://{HOST}"}).json() == {"paused": True}


def test_a_header_that_is_given_twice_is_refused(api):
    response = api.get("/status", headers=[("Host", HOST), ("Host", "evil.example")])
    refused(response, 400, "host: given twice")


def test_every_answer_forbids_what_pages_could_do_with_it(api):
    for path in ("/", "/status", "/nowhere"):
        headers = api.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; frame-ancestors 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "set-cookie" not in headers


def test_a_large_request_is_refused(api, service):
    body = json.dumps({"events": [{"behaviour": "search", "text": "x" * 900}] * 1200})
    assert len(body) > MOST_BODY
    refused(api.post("/events", content=body), 413, f"the request is larger than {MOST_BODY} bytes")

    async def pieces():
        for _ in range(200):
            yield b"x" * 10_000

    refused(api.post("/events", content=pieces()), 413, "send less at a time")
    assert service.store.count() == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"events": []}, "events: list should have at least 1 item"),
        ({"events": [{}]}, "events.0: item is missing; only an event with behaviour"),
        ({"events": [{"item": "1", "behaviour": "watch"}]}, "events.0.behaviour: input should be 'view', 'click'"),
        ({"events": [{"item": "1", "stars": 3}]}, "events.0.stars: extra inputs are not permitted"),
        ({"events": [{"item": "1", "time": -1}]}, "events.0.time: input should be greater than or equal to 0"),
        ({"events": [{"item": "1", "time": 9e12}]}, "is more than a day in the future"),
        ({"events": [{"item": "no such item"}]}, "item 'no such item': this device's catalogue has none of this id"),
        ({}, "events: field required"),
    ],
)  # fmt: skip
def test_events_that_cannot_be_kept_are_told_and_none_is(api, service, own_events, body, told):
    if len(body.get("events", [])) == 1:
        body = {"events": [*body["events"], own_events[0]]}
    response = api.post("/events", json=body)
    refused(response, response.status_code, told)
    assert response.status_code in (404, 409, 422)
    assert service.store.count() == 0


def test_mistakes_are_one_line(api):
    refused(api.get("/nowhere"), 404, "/nowhere: nothing is here; GET /openapi.json lists what is")
    refused(api.put("/data"), 405, "PUT is not for /data")
    refused(api.post("/events", content=b"{", headers={"Content-Type": "application/json"}), 422, "JSON decode error")
    refused(api.get("/recommendations?n=0"), 422, "n: input should be greater than or equal to 1")
    refused(
        api.post("/feedback", json={"item": "1", "verdict": "meh"}),
        422,
        "verdict: input should be 'like', 'not-for-me' or 'seen'",
    )
    refused(api.delete("/events/7"), 404, "event 7: there is none of this number")
    refused(api.get("/recommendations"), 409, "no model yet: the first one comes with the first round")


def test_events_and_verdicts_and_what_is_exported(api, own_events):
    assert api.post(
        "/events", json={"events": [{**event, "key": str(place)} for place, event in enumerate(own_events)]}
    ).json() == {"added": len(own_events)}
    assert api.post("/events", json={"events": [{**own_events[0], "key": "0"}]}).json() == {"added": 0}
    assert api.post("/events", json={"events": [{"behaviour": "search", "text": "slow films"}]}).status_code == 201
    shown = api.get("/events?n=3").json()["events"]
    assert [event["text"] for event in shown] == ["slow films", None, None]
    older = api.get(f"/events?n=500&before_time={shown[-1]['time']}&before_id={shown[-1]['id']}").json()["events"]
    assert len(older) == len(own_events) - 2
    item = own_events[0]["item"]
    api.post("/feedback", json={"item": item, "verdict": "like"})
    told = api.get("/export").json()
    assert [event["behaviour"] for event in told["events"]][-1] == "like"
    assert told["feedback"][0]["item"] == item
    api.delete(f"/feedback/{item}")
    assert api.get("/events?n=1").json()["events"][0]["text"] == "slow films"
    again = [
        {key: event[key] for key in ("item", "time", "behaviour", "value", "text", "key")} for event in told["events"]
    ]
    assert api.delete("/data").json() == {"deleted": len(own_events) + 1}
    assert api.post("/events", json={"events": again}).json() == {"added": len(again)}, (
        "what was exported can be given back"
    )


def test_pausing_and_what_is_spent(api):
    assert api.post("/pause").json() == {"paused": True}
    assert api.get("/status").json()["paused"]
    assert api.post("/resume").json() == {"paused": False}
    told = api.get("/privacy").json()
    assert (told["spent"], told["left"], told["budget"], told["rounds"]) == (0.0, 1.0, None, 0)
    assert told["policy"]["epsilon"] == 40.0


def test_it_describes_itself(api):
    described = api.get("/openapi.json").json()
    paths = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    wanted = {
        ("POST", "/events"), ("GET", "/recommendations"), ("POST", "/feedback"), ("GET", "/why/{item}"), ("GET", "/privacy"),
        ("GET", "/model"), ("POST", "/pause"), ("POST", "/resume"), ("DELETE", "/data"), ("GET", "/export"),
    }  # fmt: skip
    assert wanted <= paths
    assert all(operation["description"] for methods in described["paths"].values() for operation in methods.values())


def test_a_link_works_once(api):
    code = api.post("/links").json()["code"]
    bare = {"Authorization": ""}
    token = api.post("/session", json={"code": code}, headers=bare).json()["token"]
    assert api.get("/status", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    for used in (code, "guessed"):
        refused(
            api.post("/session", json={"code": used}, headers=bare), 401, "this link was used already or is too old"
        )


def test_a_link_ends_after_five_minutes_by_a_clock_that_nobody_sets(monkeypatch):
    access, now = Access("t" * 43), [100.0]
    monkeypatch.setattr("client.service.access.time.monotonic", lambda: now[0])
    early, late = access.new_link(), access.new_link()
    now[0] += 299
    assert access.session(early)
    now[0] += 2
    assert access.session(late) is None


def test_the_page_needs_nothing_from_elsewhere(api):
    for path, name in http_api._FILES.items():
        response = api.get(path, headers={"Authorization": ""})
        assert response.status_code == 200
        text = response.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text.replace("127.0.0.1", ""), name
        assert "https://" not in text, name
        assert "style=" not in text, "the content security policy would not let it"

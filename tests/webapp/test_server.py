"""Who may ask what of the page, and how much."""

from __future__ import annotations

import asyncio

import pytest

from occface.webapp.server import Guard, is_loopback
from occface.webapp.studio import Limits

PAGE = (
    b'<head><meta property="og:image"\n content="https://example.org/a.png"\n/><meta name="viewport" content="width=1"></head>'
)


async def _behind(scope, receive, send):
    """Answer with the page, after reading the whole request."""
    come = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        come += message["body"]
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(PAGE)).encode())]})
    await send({"type": "http.response.body", "body": PAGE[:20], "more_body": True})
    await send({"type": "http.response.body", "body": PAGE[20:]})


def ask(path="/", method="GET", body=(b"",), local=True, **headers):
    """Ask a guarded page; return the status, the headers and the body of its answer."""
    given = {"host": "127.0.0.1:7860"} | headers
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
    }
    parts, answer = list(body), []

    async def receive():
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message):
        answer.append(message)

    asyncio.run(Guard(_behind, Limits(megabytes=1), local)(scope, receive, send))
    return answer[0]["status"], dict(answer[0]["headers"]), b"".join(each["body"] for each in answer[1:])


def test_the_page_comes_without_addresses_elsewhere_and_may_load_nothing_from_there():
    status, headers, body = ask()
    assert status == 200
    assert body == b'<head><meta name="viewport" content="width=1"></head>'
    assert int(headers[b"content-length"]) == len(body)
    policy = dict(part.split(" ", 1) for part in headers[b"content-security-policy"].decode().split("; "))
    assert policy["default-src"] == policy["connect-src"].split()[0] == "'self'"
    assert not any("http" in sources or "*" in sources for sources in policy.values())


def test_what_is_not_the_page_passes_as_it_is():
    assert ask("/assets/x.js")[2] == PAGE


@pytest.mark.parametrize("host", ["example.org", "example.org:7860", "127.0.0.1.example.org:80", ""])
def test_another_hosts_name_is_refused_on_a_page_for_this_machine(host):
    assert ask(host=host)[0] == 421
    assert ask(host=host, local=False)[0] == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "[::1]:7860", "127.0.0.1"])
def test_this_machines_names_are_answered(host):
    assert ask(host=host)[0] == 200


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/process_recording", "/gradio_api/component_server", "/"])
def test_nothing_takes_files(path):
    status, _, body = ask(path, "POST")
    assert status == 404
    assert b"\n" not in body


def test_events_are_taken_from_the_own_page_only():
    path = "/gradio_api/queue/join"
    assert ask(path, "POST")[0] == 200
    assert ask(path, "POST", origin="http://127.0.0.1:7860")[0] == 200
    assert ask(path, "POST", origin="https://example.org")[0] == 403
    assert ask(path, "POST", origin="http://127.0.0.1:7861")[0] == 403


def test_a_request_that_says_it_is_too_long_is_refused():
    limit = 1_333_333 + (1 << 18)
    assert ask("/gradio_api/queue/join", "POST", content_length=str(limit))[0] == 200
    assert ask("/gradio_api/queue/join", "POST", content_length=str(limit + 1))[0] == 413
    assert ask("/gradio_api/queue/join", "POST", content_length="-1")[0] == 413


def test_a_request_that_does_not_say_so_is_cut_off():
    seen = []

    async def counting(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            seen.append(len(message["body"]))
            if not message["more_body"]:
                break
        await _behind(scope, _gone, send)

    async def _gone():
        return {"type": "http.disconnect"}

    async def main():
        parts = [b"x" * 500_000] * 5

        async def receive():
            return {"type": "http.request", "body": parts.pop(), "more_body": bool(parts)}

        async def send(message):
            pass

        scope = {"type": "http", "method": "POST", "path": "/gradio_api/queue/join", "headers": [(b"host", b"localhost")]}
        await Guard(counting, Limits(megabytes=1), True)(scope, receive, send)

    asyncio.run(main())
    assert sum(seen) == 1_500_000


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.2", True), ("::1", True), ("0.0.0.0", False), ("localhost", True), ("example.org", False)]
)
def test_loopback(host, expected):
    assert is_loopback(host) is expected

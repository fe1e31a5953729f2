"""The page served on this machine: who may ask, how much they may send, and what the browser may load."""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import click

from occface.errors import OccfaceError, UsageError
from occface.webapp.studio import Limits, Studio

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["Guard", "application", "is_loopback", "serve"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

#: The requests that change anything: the page's own events. Gradio has others, which store files; nothing here needs them.
_POSTS = frozenset({"/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset"})

#: The browser itself refuses to load anything from elsewhere. Gradio's page needs scripts in it and compiled by it.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
#: Gradio's page describes itself to link previews with addresses elsewhere.
_FOREIGN_META = re.compile(rb"<meta\b[^>]*\bcontent=\"https?://[^>]*>", re.IGNORECASE)
#: What a request holds beside the photograph, in bytes.
_BESIDE = 1 << 18


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is that of this machine alone.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """What stands before the page, as ASGI: it refuses requests that are none of the page's.

    Parameters
    ----------
    app
        The ASGI application behind it.
    limits : Limits
        How large a photograph may be.
    local : bool
        Whether the page is for this machine alone. Then requests that name another host are refused: a foreign website whose
        name is made to point here can ask nothing.
    """

    def __init__(self, app: Any, limits: Limits, local: bool) -> None:
        self.app, self.local = app, local
        self.most = limits.megabytes * 4_000_000 // 3 + _BESIDE  # a photograph comes as base64

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if refused := self._refusal(scope, headers):
            await _answer(send, *refused)
            return
        if scope["path"] == "/":  # rewritten below, so not compressed
            scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() != b"accept-encoding"]
        await self.app(scope, self._counted(receive), _Rewritten(send, scope["path"] == "/"))

    def _refusal(self, scope: _Message, headers: dict[bytes, str]) -> tuple[int, str] | None:
        """Return the status and the reason with which a request is refused; else None."""
        host = headers.get(b"host", "")
        if self.local and not is_loopback(host.rpartition(":")[0].strip("[]") if ":" in host else host):
            return 421, "this page answers on this machine only: open it as http://127.0.0.1, or start it with --host"
        if scope["method"] not in {"GET", "HEAD", "POST"} or (scope["method"] == "POST" and scope["path"] not in _POSTS):
            return 404, "there is nothing here that takes this"
        origin = headers.get(b"origin", "")
        if scope["method"] == "POST" and origin and origin.partition("://")[2] != host:
            return 403, "this comes from another website's page"
        length = headers.get(b"content-length", "0")
        if not length.isdecimal() or int(length) > self.most:
            return 413, "the request is larger than the page ever sends: choose a smaller file"
        return None

    def _counted(self, receive: _Receive) -> _Receive:
        """Return a `receive` that ends a request which turns out to be longer than it may be."""
        come = 0

        async def counted() -> _Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            return {"type": "http.disconnect"} if come > self.most else message

        return counted


class _Rewritten:
    """Sends an answer with the page's headers; of the page itself, without the addresses elsewhere that Gradio puts in it."""

    def __init__(self, send: _Send, is_page: bool) -> None:
        self.send, self.is_page = send, is_page
        self.start: _Message = {}
        self.body = b""

    async def __call__(self, message: _Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS]
            if self.is_page:
                self.start = message
                return
        elif self.is_page and message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            if message.get("more_body"):
                return
            whole = _FOREIGN_META.sub(b"", self.body)
            kept = [pair for pair in self.start["headers"] if pair[0].lower() != b"content-length"]
            self.start["headers"] = [*kept, (b"content-length", str(len(whole)).encode()), (b"cache-control", b"no-store")]
            await self.send(self.start)
            message = {"type": "http.response.body", "body": whole}
        await self.send(message)


async def _answer(send: _Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def application(studio: Studio, *, local: bool = True) -> FastAPI:
    """Return the page as an ASGI application.

    Parameters
    ----------
    studio : Studio
        What does the work.
    local : bool
        Whether only requests to this machine's own name are answered.

    Raises
    ------
    UsageError
        If Gradio is not installed.
    """
    # Gradio reads these when it is imported: it counts its users, and asks its makers for newer versions, unless told not to.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import fastapi
        import gradio
    except ImportError as error:
        raise UsageError(f"the page needs Gradio, which is not installed ({error.name}): pip install 'occface[app]'") from error
    from occface.webapp.page import build, looks

    outer = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    outer.add_middleware(Guard, limits=studio.limits, local=local)
    return gradio.mount_gradio_app(
        outer, build(studio), "/", footer_links=[], run_history=False, ssr_mode=False, show_error=False, mcp_server=False,
        pwa=False, enable_monitoring=False, max_file_size=1, **looks(),
    )  # fmt: skip


def serve(studio: Studio, host: str = "127.0.0.1", port: int = 7860) -> None:
    """Serve the page until interrupted.

    Parameters
    ----------
    studio : Studio
        What does the work.
    host : str
        The address to listen on; any but this machine's own opens the page to others.
    port : int
        0 takes any that is free.

    Raises
    ------
    UsageError
        If Gradio is not installed, or the address cannot be had.
    OccfaceError
        If the server cannot start.
    """
    local = is_loopback(host)
    with _listening(host, port) as listener, tempfile.TemporaryDirectory(prefix="occface-app-") as scratch:
        # Where Gradio would put files, if the page had it put any.
        os.environ["GRADIO_TEMP_DIR"] = scratch
        app = application(studio, local=local)
        import uvicorn

        shown = f"[{host}]" if ":" in host else host
        click.echo(f"the page is at http://{shown}:{listener.getsockname()[1]} (Ctrl+C ends it)")
        if not local:
            click.echo("everybody who reaches this address can use the page: it asks for no password", err=True)
        # Ended by a signal, the process would leave the folder behind.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=3))
        server.run(sockets=[listener])
        if not server.started:
            raise OccfaceError("the server did not start; --debug and -v show why")


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen on {host}, port {port}: {error}; choose another by --host or --port") from error

"""The page and its websocket: one visitor a connection, each with a dream of their own.

Nothing listens beyond this machine unless it is told to, and then only to whoever has the token. Messages are JSON
objects with a `type`; answers are JSON too (`hello`, `saved`, `error`), and moments are binary: the length of a JSON
header (4 bytes, little-endian), the header, and the PNG pictures that it lists.
"""

import asyncio
import hmac
import http
import io
import json
import math
import secrets
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from unified.errors import UserError, first_line
from unified.rollout.dreams.play.session import Moment, Session, Worlds

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_VISITORS = 8
_MAX_MESSAGE = 16_384  # bytes
_MESSAGES_A_SECOND = 120
_KEPT_S = 600.0  # a visitor who went away, for example because a laptop was closed
_FASTEST = 30.0  # moments a second
_PAGE = {
    "/": ("index.html", "text/html"),
    "/play.js": ("play.js", "text/javascript"),
    "/play.css": ("play.css", "text/css"),
}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'"


@dataclass
class Visitor:
    """Somebody's dream and what they do with it."""

    session: Session
    pushes: list[float] = field(default_factory=list)
    stamp: float | None = None
    is_playing: bool = False
    speed: float = 1.0
    left: float | None = None  # when they went away


class PlayServer:
    """Serves the page.

    Args:
        worlds: what can be started.
        folder: where films go.
        host, port: where to listen; port 0: any that is free.
        seed: of the first start.
    """

    def __init__(self, worlds: Worlds, folder: Path, host: str = "127.0.0.1", port: int = 8008, seed: int = 0):
        self._worlds, self._folder, self._host, self._port, self._seed = worlds, folder, host, port, seed
        self.token = None if host in LOOPBACK else secrets.token_urlsafe(16)
        self._visitors: dict[str, Visitor] = {}
        self._thread = ThreadPoolExecutor(1, "dream")  # one network, one graphics context, one after the other

    @property
    def url(self) -> str:
        """Where the page is."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/" + (f"?token={self.token}" if self.token else "")

    async def run(self, on_ready: Callable[[], object]) -> None:
        """Serve until cancelled.

        Raises:
            UserError: if the address cannot be used, or something that can be started does not fit the model.
        """
        await self._do(self._worlds.check)
        try:
            server = await serve(
                self._meet,
                self._host,
                self._port,
                process_request=self._answer,
                max_size=_MAX_MESSAGE,
                compression=None,
            )
        except OSError as error:
            raise UserError(
                f"{self._host}:{self._port} cannot be used: {first_line(error)}. Choose another: --port 0."
            ) from error
        self._port = next(iter(server.sockets)).getsockname()[1]
        try:
            on_ready()
            await self._forget_who_is_gone(server)
        finally:
            server.close()
            await server.wait_closed()
            self._thread.submit(self._close).result()
            self._thread.shutdown()

    def _close(self) -> None:
        for visitor in self._visitors.values():
            visitor.session.close()

    async def _forget_who_is_gone(self, server: Server) -> None:
        while server.is_serving():
            await asyncio.sleep(5)
            for name, visitor in [*self._visitors.items()]:
                if visitor.left is not None and time.monotonic() - visitor.left > _KEPT_S:
                    await self._forget(name)

    async def _forget(self, name: str) -> None:
        session = self._visitors.pop(name).session
        await asyncio.get_running_loop().run_in_executor(self._thread, session.close)

    # ------------------------------------------------------------------ pages

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """A page or a refusal; None opens a websocket."""
        url = urlsplit(request.path)
        if not self._may_come(request, url.query):
            return _response(http.HTTPStatus.FORBIDDEN, "text/plain", b"Not from here, or not with this token.\n")
        if url.path == "/play":
            return None
        if url.path == "/health":
            return _response(http.HTTPStatus.OK, "application/json", b'{"ok": true}\n')
        if url.path not in _PAGE:
            return _response(http.HTTPStatus.NOT_FOUND, "text/plain", b"There is no such page.\n")
        name, kind = _PAGE[url.path]
        return _response(http.HTTPStatus.OK, kind, files(__package__ or "").joinpath("page", name).read_bytes())

    def _may_come(self, request: Request, query: str) -> bool:
        """Whether a request names this server, is sent by its own page, and has the token if one is needed."""
        hosts = request.headers.get_all("Host")
        name = urlsplit(f"//{hosts[0]}").hostname if len(hosts) == 1 else None
        origin = request.headers.get("Origin")
        if self.token is None and name not in LOOPBACK:
            return False  # another name that was pointed at this machine
        if origin is not None and urlsplit(origin).netloc != hosts[0]:
            return False
        if self.token is None or urlsplit(request.path).path in ("/play.js", "/play.css"):
            return True
        given = parse_qs(query).get("token", [""])[0]
        return hmac.compare_digest(given.encode(), self.token.encode())

    # ------------------------------------------------------------------ visitors

    async def _meet(self, connection: ServerConnection) -> None:
        """One visitor, from their coming to their going."""
        name = None
        try:
            name = await self._let_in(connection)
            visitor = self._visitors[name]
            hello = {"type": "hello", "visitor": name, "names": self._worlds.names, "seed": self._seed}
            await connection.send(json.dumps(hello))
            player = asyncio.create_task(self._play(connection, visitor))
            try:
                await self._listen(connection, visitor)
            finally:
                player.cancel()
                await asyncio.gather(player, return_exceptions=True)
        except ConnectionClosed:
            pass
        except UserError as error:
            await connection.close(1013, str(error)[:120])
        finally:
            if name in self._visitors:
                self._visitors[name].left, self._visitors[name].is_playing = time.monotonic(), False

    async def _let_in(self, connection: ServerConnection) -> str:
        """Somebody who was here before, or somebody new."""
        query = parse_qs(urlsplit(connection.request.path if connection.request else "").query)
        name = query.get("visitor", [""])[0]
        if name in self._visitors and self._visitors[name].left is not None:
            self._visitors[name].left = None
            return name
        if len(self._visitors) >= MAX_VISITORS:
            gone = {name: visitor.left for name, visitor in self._visitors.items() if visitor.left is not None}
            if not gone:
                raise UserError(f"{MAX_VISITORS} dream here already; close another tab.")
            await self._forget(min(gone, key=lambda each: gone[each]))
        name = secrets.token_urlsafe(8)
        self._visitors[name] = Visitor(Session(self._worlds, self._folder))
        return name

    async def _listen(self, connection: ServerConnection, visitor: Visitor) -> None:
        allowance, last, is_told = float(_MESSAGES_A_SECOND), time.monotonic(), False
        async for message in connection:
            now = time.monotonic()
            allowance = min(_MESSAGES_A_SECOND, allowance + _MESSAGES_A_SECOND * (now - last)) - 1
            last = now
            if allowance < 0:
                if not is_told:
                    await _complain(connection, f"More than {_MESSAGES_A_SECOND} messages a second; some are ignored.")
                is_told = True
                if allowance < -10 * _MESSAGES_A_SECOND:
                    await connection.close(1008, "too many messages")
                continue
            is_told = False
            try:
                await self._hear(connection, visitor, _parsed(message))
            except UserError as error:
                await _complain(connection, str(error))

    async def _hear(self, connection: ServerConnection, visitor: Visitor, said: Mapping[str, Any]) -> None:
        kind, session = said.get("type"), visitor.session
        if kind == "act":
            visitor.pushes, visitor.stamp = _pushes(said.get("pushes")), _number(said, "stamp", None)
        elif kind == "start":
            visitor.is_playing = False
            await self._start(connection, visitor, said)
        elif kind == "play":
            session.describe()  # refuses what has not begun
            visitor.is_playing, visitor.speed = bool(said.get("on")), min(max(_number(said, "speed", 1.0), 0.1), 10.0)
        elif kind in ("step", "back"):
            visitor.is_playing = False
            move = session.back if kind == "back" else lambda: session.step(visitor.pushes)
            await self._show(connection, visitor, await self._do(move))
        elif kind == "record":
            path = await self._do(lambda: session.record(bool(said.get("on"))))
            await connection.send(json.dumps({"type": "saved", "path": None if path is None else str(path)}))
        else:
            known = "act, start, play, step, back, record"
            raise UserError(f"A message's type must be one of {known}, got {str(kind)[:40]!r}.")

    async def _start(self, connection: ServerConnection, visitor: Visitor, said: Mapping[str, Any]) -> None:
        name, task = said.get("name", self._worlds.names[0]), said.get("task")
        if not isinstance(name, str) or not isinstance(task, str | None):
            raise UserError("A start's name and task must be texts.")
        seed, episode = _number(said, "seed", 0), _number(said, "episode", None)
        if not 0 <= seed < 2**31:
            raise UserError("A start's seed must be between 0 and 2147483647.")
        where = (name, int(seed), None if episode is None else int(episode), task)
        moment = await self._do(lambda: visitor.session.start(*where))
        await connection.send(json.dumps({"type": "started", "name": name, **visitor.session.describe()}))
        await self._show(connection, visitor, moment)

    async def _play(self, connection: ServerConnection, visitor: Visitor) -> None:
        """Go on by itself, at the world's own pace or as fast as it can."""
        due = time.monotonic()
        while True:
            if not visitor.is_playing:
                await asyncio.sleep(0.01)
                due = time.monotonic()
                continue
            try:
                moment = await self._do(lambda: visitor.session.step(visitor.pushes))
                pace = min(visitor.session.fps * visitor.speed, _FASTEST)
                await self._show(connection, visitor, moment)
            except UserError as error:
                visitor.is_playing = False
                await _complain(connection, str(error))
                continue
            visitor.is_playing &= not moment.said["is_over"]
            due = max(due + 1 / pace, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _do[Result](self, work: Callable[[], Result]) -> Result:
        """Work of the network or the simulator, in their thread."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except UserError:
            raise
        except Exception as error:  # the server must not fall over with one visitor's dream
            raise UserError(f"This dream broke: {type(error).__name__}: {first_line(error)}") from error

    async def _show(self, connection: ServerConnection, visitor: Visitor, moment: Moment) -> None:
        await connection.send(_packed(moment, visitor.stamp))


def _packed(moment: Moment, stamp: float | None) -> bytes:
    pictures = {name: _png(picture) for name, picture in moment.pictures.items()}
    listed = [{"name": name, "size": len(data)} for name, data in pictures.items()]
    header = json.dumps({**moment.said, "stamp": stamp, "pictures": listed}, allow_nan=False).encode()
    return struct.pack("<I", len(header)) + header + b"".join(pictures.values())


def _png(picture: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG", compress_level=1)
    return data.getvalue()


def _parsed(message: str | bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise UserError(f"A message must be a JSON object: {first_line(error)[:100]}") from error
    if not isinstance(said, dict):
        raise UserError(f"A message must be a JSON object with a type, got {type(said).__name__}.")
    return said


def _pushes(values: Any) -> list[float]:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) > 64:
        raise UserError("pushes must be a list of at most 64 numbers in [-1, 1].")
    if not all(type(value) in (int, float) and math.isfinite(value) and abs(value) <= 1 for value in values):
        raise UserError("pushes must be numbers in [-1, 1].")
    return [float(value) for value in values]


def _number[Default](said: Mapping[str, Any], name: str, default: Default) -> float | Default:
    value = said.get(name, default)
    if value is default or (type(value) in (int, float) and math.isfinite(value)):
        return value
    raise UserError(f"{name} must be a number, got {str(value)[:40]!r}.")


async def _complain(connection: ServerConnection, message: str) -> None:
    await connection.send(json.dumps({"type": "error", "message": message}))


def _response(status: http.HTTPStatus, kind: str, body: bytes) -> Response:
    headers = {
        "Content-Type": f"{kind}; charset=utf-8",
        "Content-Length": str(len(body)),
        "Connection": "close",
        "Cache-Control": "no-store",
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(status.value, status.phrase, Headers(headers), body)

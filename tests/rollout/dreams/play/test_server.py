"""The server over real sockets: dreams apart, rubbish and floods, who may come, films, visitors who come back."""

import json
import struct
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.rollout.dreams.play.conftest import PUSH, Served, serving
from tests.rollout.dreams.test_env import REACH
from unified.errors import UserError
from unified.model.model import UnifiedModel
from unified.report.video import read_video
from unified.rollout.dreams.env import DreamEnv
from unified.rollout.dreams.play.controls import action_of, controls_of
from unified.rollout.dreams.play.server import MAX_VISITORS
from unified.rollout.dreams.play.session import Session, Worlds


class Client:
    """Says things, and sorts what comes back."""

    def __init__(self, socket: ClientConnection):
        self.socket = socket
        self.hello = self.hear("hello")

    def say(self, kind: str, **values: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **values}))

    def hear(self, kind: str) -> dict[str, Any]:
        """The next message of a type; moments have their pictures' bytes in them."""
        while True:
            message = self.socket.recv(timeout=60)
            heard = json.loads(message) if isinstance(message, str) else _moment(message)
            if heard["type"] == kind:
                return heard

    def move(self, kind: str = "step") -> dict[str, Any]:
        """A step, or one back, and what is then shown."""
        self.say(kind)
        return self.hear("moment")

    def start(self, name: str = REACH, **values: Any) -> dict[str, Any]:
        self.say("start", name=name, **values)
        return self.hear("moment")


def _moment(data: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from("<I", data)
    header, place, pictures = json.loads(data[4 : 4 + length]), 4 + length, {}
    for listed in header["pictures"]:
        pictures[listed["name"]] = data[place : place + listed["size"]]
        place += listed["size"]
    assert place == len(data)
    return {**header, "type": "moment", "pictures": pictures}


def pixels(png: bytes, tmp_path: Path) -> np.ndarray:
    (tmp_path / "picture.png").write_bytes(png)
    return np.asarray(Image.open(tmp_path / "picture.png"))


@contextmanager
def client(server: Served, query: str = "") -> Generator[Client]:
    url = urlsplit(server.url)
    asked = "&".join(part for part in (url.query, query) if part)
    with connect(f"ws://127.0.0.1:{url.port}/play?{asked}", max_size=None) as socket:
        yield Client(socket)


def test_what_is_shown_is_the_dream_told_what_was_pushed(server: Served, model: UnifiedModel, tmp_path: Path) -> None:
    env = DreamEnv(model, env=REACH)
    begun, _ = env.reset(seed=5)
    pushes = [0.5, 0.0, -1.0, 0.0]
    action = action_of(pushes, env.starts.low, env.starts.high)
    with client(server) as visitor:
        assert visitor.hello["names"] == [REACH, PUSH]
        first = visitor.start(seed=5)
        np.testing.assert_array_equal(pixels(first["pictures"]["dream corner2"], tmp_path), begun["pixels"]["corner2"])
        assert first["pictures"]["dream corner2"] == first["pictures"]["real corner2"]
        visitor.say("act", pushes=pushes, stamp=12.5)
        came = visitor.move()
    env.step(action)
    seen, reward, _, _, info = env.step(action)
    np.testing.assert_array_equal(pixels(came["pictures"]["dream corner2"], tmp_path), seen["pixels"]["corner2"])
    assert came["reward"] == pytest.approx(reward)
    assert came["success"] == pytest.approx(info["success_probability"])
    assert (came["number"], came["stamp"], came["pushes"]) == (1, 12.5, pushes)
    real: Any = env.start.reality
    real.env.reset(seed=5)
    real.env.step(action)
    observation, *_ = real.env.step(action)
    np.testing.assert_array_equal(pixels(came["pictures"]["real corner2"], tmp_path), observation["pixels"]["corner2"])


def test_back_is_where_it_was_in_the_dream_and_in_the_real_world(server: Served) -> None:
    with client(server) as visitor:
        visitor.start(seed=1)
        visitor.say("act", pushes=[1, 0, 0, 0])
        moments = []
        for _ in range(3):
            moments.append(visitor.move())
        back = visitor.move("back")
        assert (back["number"], back["pictures"]) == (2, moments[1]["pictures"])
        assert visitor.move()["pictures"] == moments[2]["pictures"]
        for _ in range(5):
            back = visitor.move("back")
        assert back["number"] == 0


def test_it_goes_on_by_itself_until_told_to_stop(server: Served) -> None:
    with client(server) as visitor:
        visitor.start()
        visitor.say("play", on=True, speed=1)
        began = time.monotonic()
        numbers = [visitor.hear("moment")["number"] for _ in range(20)]
        assert numbers == [*range(1, 21)]
        pace = 20 / (time.monotonic() - began)
        assert pace < 31, "no faster than thirty a second"
        visitor.say("play", on=False)
        time.sleep(0.5)  # moments that were on their way arrive
        last = visitor.move()["number"]
        while True:
            try:
                last = _moment(visitor.socket.recv(timeout=0.5, decode=False))["number"]
            except TimeoutError:
                break
        time.sleep(0.3)  # in which it would go on, if it had not stopped
        assert visitor.move()["number"] == last + 1


def test_two_visitors_do_not_disturb_each_other(server: Served) -> None:
    with client(server) as alone:
        alone.start(seed=3)
        alone.say("act", pushes=[1, 1, 0, 0])
        wanted = []
        for _ in range(4):
            wanted.append(alone.move()["pictures"])
    with client(server) as one, client(server) as other:
        assert one.hello["visitor"] != other.hello["visitor"]
        one.start(seed=3)
        other.start(PUSH, seed=9)
        one.say("act", pushes=[1, 1, 0, 0])
        other.say("act", pushes=[-1, 0, 0, 1])
        for pictures in wanted:
            one.say("step")
            other.say("step")
            assert one.hear("moment")["pictures"] == pictures
            other.hear("moment")


RUBBISH = [
    ("not json", "must be a JSON object"),
    ("[1, 2]", "got list"),
    ("[" * 9000, "must be a JSON object"),
    (b"\x00\xff\xfe", "must be a JSON object"),
    ('{"type": "fly"}', "must be one of act, start"),
    ('{"type": null}', "must be one of act, start"),
    ('{"type": "act", "pushes": "left"}', "must be a list"),
    ('{"type": "act", "pushes": [2]}', "numbers in"),
    ('{"type": "act", "pushes": [NaN]}', "numbers in"),
    ('{"type": "act", "pushes": [true]}', "numbers in"),
    ('{"type": "start", "name": "sims:Nowhere-v0"}', "unknown start"),
    ('{"type": "start", "name": 7}', "must be texts"),
    ('{"type": "start", "seed": -1}', "seed must be between"),
    ('{"type": "start", "seed": 1e300}', "seed must be between"),
    ('{"type": "start", "episode": 3}', "starts in an environment"),
    ('{"type": "start", "seed": "one"}', "seed must be a number"),
    ('{"type": "play", "on": true, "speed": "fast"}', "speed must be a number"),
]


def test_rubbish_is_answered_with_an_error_and_the_dream_goes_on(server: Served) -> None:
    with client(server) as visitor:
        for kind in ("step", "back", "play", "record"):
            visitor.say(kind, on=True)
            assert "Nothing has begun" in visitor.hear("error")["message"]
        visitor.start(seed=2)
        for message, wanted in RUBBISH:
            visitor.socket.send(message)
            assert wanted.lower() in visitor.hear("error")["message"].lower(), message
        assert visitor.move()["number"] == 1


def test_a_message_that_is_too_large_ends_that_visit_alone(server: Served) -> None:
    with client(server) as other, client(server) as visitor:
        other.start()
        visitor.socket.send("x" * 20_000)
        with pytest.raises(ConnectionClosed):
            visitor.hear("moment")
        assert other.move()["number"] == 1


def flood(visitor: Client) -> None:
    for _ in range(100_000):
        visitor.say("act", pushes=[1, 0, 0, 0])


def test_a_flood_is_told_so_then_ended_and_others_play_on(server: Served) -> None:
    with client(server) as other, client(server) as visitor:
        other.start()
        visitor.start()
        with pytest.raises(ConnectionClosed):
            flood(visitor)
        assert other.move()["number"] == 1


def test_whoever_comes_back_finds_their_dream(server: Served) -> None:
    with client(server) as visitor:
        visitor.start(seed=4)
        visitor.move()
        name = visitor.hello["visitor"]
        with client(server, f"visitor={name}") as thief:
            assert thief.hello["visitor"] != name, "nobody takes a dream that is being played"
    time.sleep(0.3)  # the server notices who left
    with client(server, f"visitor={name}") as again:
        assert again.hello["visitor"] == name
        assert again.move()["number"] == 2


def test_there_is_room_for_so_many(server: Served) -> None:
    with ExitStack() as stack:
        with client(server) as first:
            others = [stack.enter_context(client(server)) for _ in range(MAX_VISITORS - 1)]
            with pytest.raises(ConnectionClosed, match="dream here already"), client(server):
                pass
        time.sleep(0.3)  # the server notices who left
        with client(server) as late:
            assert late.hello["visitor"] not in {visitor.hello["visitor"] for visitor in (first, *others)}


def test_a_film_is_kept_with_its_actions(server: Served) -> None:
    with client(server) as visitor:
        visitor.start(seed=6)
        visitor.say("record", on=True)
        visitor.hear("saved")
        visitor.say("act", pushes=[0, 1, 0, 0])
        for _ in range(5):
            visitor.move()
        visitor.say("record", on=False)
        path = Path(visitor.hear("saved")["path"])
    film = read_video(path)
    assert film.shape == (6, 16, 32, 3), "the dream beside the real world"
    actions = np.array(json.loads(path.with_suffix(".json").read_text()))
    assert actions.shape == (10, 4)
    assert (actions == [0, 1, 0, 0]).all()


def status(server: Served, path: str, **headers: str) -> int:
    try:
        with urlopen(Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)) as answer:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            return answer.status
    except HTTPError as error:
        return error.code


def test_only_this_machine_s_own_page_may_come(server: Served) -> None:
    assert "token" not in server.url
    assert status(server, "/") == status(server, "/play.js") == status(server, "/health") == 200
    assert status(server, "/../server.py") == status(server, "/secret") == 404
    assert status(server, "/", Host="evil.example") == 403
    assert status(server, "/", Origin="http://evil.example") == 403
    page = Origin("http://evil.example")
    with pytest.raises(InvalidStatus, match="403"), connect(f"ws://127.0.0.1:{server.port}/play", origin=page):
        pass


def test_elsewhere_the_token_is_needed(checkpoint: Path, tmp_path: Path) -> None:
    with serving(checkpoint, tmp_path, "--host", "0.0.0.0") as server:
        (token,) = parse_qs(urlsplit(server.url).query)["token"]
        assert len(token) > 20
        assert status(server, "/") == status(server, "/?token=guess") == status(server, "/health") == 403
        assert status(server, f"/?token={token}") == 200
        with pytest.raises(InvalidStatus, match="403"), connect(f"ws://127.0.0.1:{server.port}/play?token=guess"):
            pass
        with client(server) as visitor:
            assert visitor.start()["number"] == 0


def test_a_start_that_does_not_fit_is_said_before_anybody_comes(model: UnifiedModel) -> None:
    with pytest.raises(UserError, match="Say where dreams start"):
        Worlds(model)
    with pytest.raises(UserError, match="Driving"):
        Worlds(model, envs=("sims:Driving-fog-v0",)).check()


def test_pushes_reach_from_one_bound_to_the_other_through_rest() -> None:
    low, high = np.array([-1, 0.5, -3], np.float32), np.array([1, 2, 9], np.float32)
    np.testing.assert_allclose(action_of([0.0, 0.0, 0.0], low, high), [0, 0.5, 0])
    np.testing.assert_allclose(action_of([1.0, 1.0, 1.0], low, high), high)
    np.testing.assert_allclose(action_of([-1.0, -1.0, -0.5], low, high), [-1, 0.5, -1.5])
    np.testing.assert_allclose(action_of([0.5], low, high), [0.5, 0.5, 0])


def test_every_body_has_controls(model: UnifiedModel) -> None:
    (body,) = model.spec.embodiments
    controls = controls_of(body)
    keys = [key for control in controls for key in (control.minus, control.plus)]
    assert len(controls) == body.action_dim
    assert len(set(keys)) == len(keys)
    session = Session(Worlds(model, envs=(REACH,)), Path("nowhere"))
    with pytest.raises(UserError, match="Nothing has begun"):
        session.step([0.0])

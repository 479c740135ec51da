"""A page of environments: of each a still, a film of its expert, how often the expert succeeds, how fast it runs."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unified.atomic import atomic_path, write_text
from unified.judging.evaluation import suite_episodes, with_films
from unified.judging.results import EpisodeResult
from unified.report.html import render_page
from unified.report.video import Film, Frame, caption, stack, write_mp4
from unified.rollout.environments import make_env
from unified.rollout.episodes import Finished
from unified.rollout.rollout import run_episodes
from unified.rollout.suites import Suite

TIMED_STEPS = 30
LONGEST_FILM = 120  # pictures; longer episodes are shown in time lapse


@dataclass(frozen=True)
class Exhibit:
    """One environment.

    Attributes:
        suite: which it was shown for.
        task: an instruction as it was given in the first episode.
        successes, episodes: of the expert, on held-out seeds.
        steps_per_second: env steps with all the suite's pictures, of one core's time.
        film, fps: of the first episode.
    """

    env_id: str
    suite: str
    task: str
    successes: int
    episodes: int
    mean_length: float
    steps_per_second: float
    film: Film
    fps: float

    @property
    def name(self) -> str:
        """The id without its package and version."""
        return self.env_id.removeprefix("sims:").rsplit("-v", 1)[0]

    @property
    def still(self) -> Frame:
        """A picture from the middle of the film, where something happens."""
        return self.film[len(self.film) // 2]

    def to_dict(self) -> dict[str, Any]:
        """The numbers."""
        names = ("env_id", "suite", "task", "successes", "episodes", "mean_length", "steps_per_second")
        return {name: getattr(self, name) for name in names}


def visit(
    suite: Suite,
    episodes_per_task: int,
    num_workers: int = 2,
    size: int = 160,
    on_episode: Callable[[EpisodeResult], None] = lambda _: None,
) -> list[Exhibit]:
    """Let the expert act in every environment of a suite, on its held-out seeds.

    Raises:
        UserError: if an environment cannot be made, names no cameras or breaks.
    """
    exhibits: list[Exhibit] = []
    for part in suite.leaves:
        planned = with_films(suite_episodes(part, "test", episodes_per_task), per_task=1, size=size)
        films: dict[str, Finished] = {}

        def note(index: int, finished: Finished, films: dict[str, Finished] = films) -> None:
            if finished.film is not None:
                films[finished.result.env_id] = finished
            on_episode(finished.result)

        results = run_episodes(planned, "expert", num_workers, max_env_steps=part.max_env_steps, on_result=note)
        for task in part.tasks:
            mine = [result for result in results if result.env_id == task.env_id]
            exhibits.append(_exhibit(part, mine, films[task.env_id]))
    return exhibits


def _exhibit(suite: Suite, results: Sequence[EpisodeResult], filmed: Finished) -> Exhibit:
    assert filmed.film is not None
    step = -(-len(filmed.film) // LONGEST_FILM)
    return Exhibit(
        env_id=results[0].env_id,
        suite=suite.name,
        task=filmed.result.task,
        successes=sum(result.success for result in results),
        episodes=len(results),
        mean_length=sum(result.length for result in results) / len(results),
        steps_per_second=steps_per_second(results[0].env_id, suite.env_kwargs),
        film=filmed.film[::step],
        fps=filmed.fps,
    )


def steps_per_second(env_id: str, env_kwargs: Mapping[str, Any]) -> float:
    """Env steps a second of one core's time under random actions, pictures included."""
    env = make_env(env_id, env_kwargs)
    try:
        env.action_space.seed(0)
        env.reset(seed=0)
        env.step(env.action_space.sample())  # the first picture makes the renderer
        started = time.process_time()
        for _ in range(TIMED_STEPS):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        return TIMED_STEPS / (time.process_time() - started)
    finally:
        env.close()


def write_gallery(folder: Path, exhibits: Sequence[Exhibit], command: str) -> Path:
    """Write films/<name>.mp4, `stills.png` (all stills) and `gallery.html`, which holds everything it shows."""
    suites: dict[str, list[tuple[Path, Exhibit]]] = {}
    for exhibit in exhibits:
        path = folder / "films" / f"{exhibit.name}.mp4"
        write_mp4(path, exhibit.film, exhibit.fps, quality=28)
        suites.setdefault(exhibit.suite, []).append((path, exhibit))
    with atomic_path(folder / "stills.png") as temporary:
        Image.fromarray(contact_sheet(exhibits)).save(temporary, "PNG", optimize=True)
    page = render_page("gallery.html", title="Worlds", suites=suites, command=command)
    write_text(folder / "gallery.html", page)
    return folder / "gallery.html"


def contact_sheet(exhibits: Sequence[Exhibit], columns: int = 6) -> Frame:
    """All stills under their names, in rows."""
    tiles = [caption(exhibit.still[None], exhibit.name.split("-", 1)[-1]) for exhibit in exhibits]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[start : start + columns], axis=2) for start in range(0, len(tiles), columns)]
    return stack(rows)[0]

"""Rollouts in real environments with real worker processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unified.errors import UserError
from unified.rollout.episodes import Episode, FilmRequest, PolicyNeeds
from unified.rollout.rollout import run_episodes


class Looker:
    """Acts on what it sees and on the decision's key, so that a wrong picture or key changes the return."""

    needs = PolicyNeeds(cameras=("corner2",), image_size=32, n_action_steps=4, history=1, stride=2)

    def act(self, decisions, keys):
        means = [decision.observation["pixels"]["corner2"].mean() / 255 for decision in decisions]
        draws = [np.random.default_rng(key).normal(size=(4, 4)) for key in keys]
        return [(mean - 0.5 + draw).astype(np.float32) for mean, draw in zip(means, draws, strict=True)]


def episodes(*tasks: str, seeds: int = 2) -> list[Episode]:
    return [Episode(f"sims:MetaWorld-{task}-v3", 10_000 + seed) for task in tasks for seed in range(seeds)]


def test_results_do_not_depend_on_the_number_of_workers_or_environments():
    chosen = episodes("reach", "door-open")
    one = run_episodes(chosen, Looker(), num_workers=0, envs_per_worker=1, max_env_steps=12)
    many = run_episodes(chosen, Looker(), num_workers=2, envs_per_worker=2, max_env_steps=12)
    assert [result.env_return for result in one] == [result.env_return for result in many]
    assert [(result.env_id, result.seed) for result in many] == [(item.env_id, item.seed) for item in chosen]
    assert len({result.env_return for result in one}) == 4


def test_the_expert_solves_reach_in_workers_and_random_actions_do_not():
    film = FilmRequest("corner2", size=48, fps=10.0)
    chosen = [Episode("sims:MetaWorld-reach-v3", 10_000 + seed, film=film if seed == 0 else None) for seed in range(3)]
    films = {}
    expert = run_episodes(chosen, "expert", on_result=lambda index, finished: films.setdefault(index, finished.film))
    assert all(result.success and result.failure is None for result in expert)
    assert expert[0].task
    assert films[0].shape[1:] == (48, 48, 3)
    assert films[0][0].std() > 10
    assert not np.array_equal(films[0][0], films[0][-1])
    assert films[1] is None
    random = run_episodes(chosen, "random", num_workers=1, max_env_steps=40)
    assert [result.failure for result in random] == ["time_limit"] * 3


def test_a_killed_worker_is_reported_with_its_episodes_and_the_others_are_ended():
    class Killer(Looker):
        def act(self, decisions, keys):
            victim = min(multiprocessing.active_children(), key=lambda child: child.pid or 0)
            if victim.pid is not None and keys[0][1] == 1:
                os.kill(victim.pid, signal.SIGKILL)
            return super().act(decisions, keys)

    with pytest.raises(
        UserError, match=r"reach-v3 seed 1000. failed: the worker process died, signal SIGKILL.*fewer --workers"
    ):
        run_episodes(episodes("reach"), Killer(), num_workers=2, max_env_steps=40)
    assert multiprocessing.active_children() == []


def test_an_error_inside_an_environment_names_the_episode():
    policy = Looker()
    policy.needs = PolicyNeeds(cameras=("nowhere",), image_size=32)
    with pytest.raises(UserError, match=r"MetaWorld-reach-v3 seed 7 failed: .*[Uu]nknown camera 'nowhere'"):
        run_episodes([Episode("sims:MetaWorld-reach-v3", 7)], policy, num_workers=1)
    assert multiprocessing.active_children() == []


SCRIPT = """
import multiprocessing, sys
from unified.rollout.episodes import Episode
from unified.rollout.rollout import run_episodes

def tell(index, finished):
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)

if __name__ == "__main__":
    many = [Episode("sims:MetaWorld-reach-v3", seed) for seed in range(10_000)]
    run_episodes(many, "hold", num_workers=2, max_env_steps=5, on_result=tell)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_is_left_behind_when_the_program_is_stopped(tmp_path, repository, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 2
        assert all(is_blocked(signal.SIGINT, worker) for worker in workers)
        if how is signal.SIGINT:
            os.killpg(process.pid, how)  # as a terminal does: the workers get it too
        else:
            process.send_signal(how)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Process SpawnProcess" not in stderr, "workers must not print tracebacks of their own"
    for worker in workers:
        wait_until_gone(worker)


BUSY = """
import multiprocessing, threading
from unified.rollout.episodes import Episode
from unified.rollout.rollout import run_episodes

def tell():
    while not (children := multiprocessing.active_children()):
        pass
    print(children[0].pid, flush=True)

if __name__ == "__main__":
    threading.Thread(target=tell, daemon=True).start()
    endless = Episode("sims:Screen-ClickIcon-v0", 0, {"max_env_steps": 10**7})
    run_episodes([endless], "hold", num_workers=1, max_env_steps=10**7)
"""


def test_a_worker_in_the_middle_of_an_episode_ends_with_its_parent(tmp_path, repository):
    import psutil

    script = tmp_path / "script.py"
    script.write_text(BUSY)
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        worker = psutil.Process(int(process.stdout.readline()))
        while worker.cpu_times().user < 3:  # it has imported its world and steps it
            assert process.poll() is None
            os.sched_yield()
        process.kill()
        process.wait()
    wait_until_gone(worker.pid, seconds=5)


def is_blocked(number: signal.Signals, pid: int) -> bool:
    """Whether a process has been told to hold a signal back, from the system's own table."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(fields["SigBlk"], 16) >> (number - 1) & 1)


def wait_until_gone(pid: int, seconds: int = 30) -> None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            process.wait(timeout=seconds)
    except psutil.NoSuchProcess:
        pass


def test_workers_and_reports_start_without_torch():
    modules = "unified.rollout.rollout, unified.rollout.suites, unified.report.video"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"

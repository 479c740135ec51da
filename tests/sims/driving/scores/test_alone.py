"""The scores on a stranger's arrays: no simulator, no torch, in a Python of its own."""

import json
import subprocess
import sys

ON_ARRAYS = """
import json, sys
import numpy as np
from sims.driving.scores.alpasim import alpasim_score
from sims.driving.scores.epdms import epdms_one_stage
from sims.driving.scores.nuplan import nuplan_score
from sims.driving.scores.pdms import pdms
from sims.driving.scores.scene import ScoredLane, ScoredMap, ScoredScene, Track
from sims.driving.scores.tracking import reference_poses, simulate

outline = [[-20, -2], [200, -2], [200, 2], [-20, 2]]
line = [[x, 0, 0] for x in range(-20, 201, 10)]
road = ScoredMap([ScoredLane("a", outline, line, speed_limit_mps=15.0)], drivable=[outline])
car = Track("car", "vehicle", [[60 + 0.8 * t, 0, 0, 4.5, 2] for t in range(50)], [[8.0, 0.0]] * 50)
scene = ScoredScene(road, [car], line)
start = np.zeros(11)
start[3] = 9.0
plan = [[4.5 * (t + 1), 0, 0] for t in range(8)]  # 4 s at 2 Hz, in the ego's frame
drive = simulate(reference_poses(plan, 0.5, start[:3])[None], start)
results = [pdms(scene, drive, drive), epdms_one_stage(scene, drive, drive)]
results += [nuplan_score(scene, drive, drive), alpasim_score(scene, drive, drive)]
loaded = sorted({"mujoco", "torch", "unified", "lightning", "cv2"} & set(sys.modules))
print(json.dumps({"scores": [result.score for result in results], "loaded": loaded}))
"""


def test_lists_and_arrays_are_scored_without_a_simulator_or_torch_being_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", ON_ARRAYS], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"scores": [1.0, 1.0, 1.0, 1.0], "loaded": []}

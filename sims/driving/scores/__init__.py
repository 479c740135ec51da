"""The published driving scores as pure functions of trajectories and maps, without a simulator.

    scene = ScoredScene(ScoredMap(...), tracks, centreline)           # scene.py: what every score takes
    plan = simulate(reference_poses(poses, 0.5, start), initial)      # tracking.py: a plan becomes a drive
    result = epdms_one_stage(scene, plan, reference)                  # ScoreResult: score, terms, events, to_dict()

| file | score | original |
| --- | --- | --- |
| pdms.py | PDMS, versions "v1.1" and "v1.0" | NAVSIM v1 |
| epdms.py | EPDMS one-stage, EPDMS two-stage | NAVSIM v2.2 |
| nuplan.py | closed-loop score | nuPlan-devkit v1.2 |
| alpasim.py | scene score | AlpaSim |
| tracking.py | no score: plan to drive | NAVSIM's proposal simulation |

A score is computed from the terms that stand beside it and from nothing else, and every lost point has an `Event` with
its time step and, where another was involved, the actor.

Where an original's documents and code disagree, its code is followed. What surprises most:

- All of NAVSIM: a point on a border lies in neither polygon; of one track only the first contact counts, whatever
  follows; whether a track is stopped is read where it first appears; a track so exactly ahead that the cosine rounds
  to more than one is neither ahead nor behind.
- PDMS: the published weight of driving direction is 0; the first release multiplied by it, with a sum over the wrong
  axis. Progress is multiplied by the drive's own multipliers before it is normalised. Comfort smooths over the whole
  drive, so that a push of half a second passes unnoticed.
- All plans: NAVSIM's tracking controller penalises acceleration where nuPlan's penalises its change (see tracking.py).
- EPDMS: driving direction counts every motion off the route, lane keeping does not start anew after an intersection,
  progress is 1 for all where nobody makes 5 m, accelerations are those of the car's centre, the human filter reaches
  every term, and extended comfort is left out of the mean where no plan precedes. Log replay drops every track that
  touches the ego at the start: `epdms.log_replayed` does so, the scores themselves do not.
- nuPlan: driving direction multiplies, progress is compared above 2 m, 0.3 m outside is still inside.
- AlpaSim: the first half second, in which it moves the ego itself, is not judged; whoever is hit from behind is judged
  by what was driven until then.
"""

"""What a scenario is: a map, a route in words and metres, weather, lights and everybody at the start."""

from dataclasses import dataclass, field, replace

from sims.driving.looks.weather import Patch, Weather
from sims.driving.map.lights import LightPlan
from sims.driving.map.paths import Path
from sims.driving.map.roads import RoadMap
from sims.driving.traffic.actors import MAX_ACTORS, Actor


@dataclass(frozen=True, eq=False)
class Scenario:
    """One drive before it begins.

    Attributes:
        family, topology, seed: together the id.
        difficulty: 0 easiest to 1 hardest within its family.
        instruction: what the ego is told.
        route: the line that the ego should follow; it begins `start_m` along it.
        route_lanes: ids of all lanes and connectors that belong to the route.
        goal_m: arc length of the route that must be reached within `duration_s`.
        paths: of the actors.
        patches: stretches of the route with another grip.
        is_hazard: whether anything here calls for braking or dodging.
        is_calm: whether this is the twin in which nobody does anything unexpected (see `calmed`).
    """

    family: str
    topology: str
    seed: int
    difficulty: float
    instruction: str
    road_map: RoadMap
    route: Path
    route_lanes: frozenset[str]
    start_m: float
    start_mps: float
    goal_m: float
    duration_s: float
    paths: tuple[Path, ...] = ()
    actors: tuple[Actor, ...] = ()
    weather: Weather = field(default_factory=Weather)
    lights: LightPlan = field(default_factory=LightPlan)
    patches: tuple[Patch, ...] = ()
    is_hazard: bool = False
    is_calm: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be driven.

        Raises:
            ValueError: too many actors, a path that doesn't exist, a goal outside the route.
        """
        if len(self.actors) > MAX_ACTORS:
            raise ValueError(f"{self.id}: at most {MAX_ACTORS} actors, got {len(self.actors)}.")
        for actor in self.actors:
            targets = {actor.path, *actor.beside} | ({actor.event.path} if actor.event else set[int]()) - {-1}
            if not all(0 <= path < len(self.paths) for path in targets):
                raise ValueError(f"{self.id}: an actor follows path {sorted(targets)} of {len(self.paths)} paths.")
        if not 0 <= self.start_m < self.goal_m <= self.route.length_m:
            raise ValueError(
                f"{self.id}: start ({self.start_m:g} m) and goal ({self.goal_m:g} m) must lie in this order on the "
                f"route of {self.route.length_m:g} m."
            )

    @property
    def id(self) -> str:
        """`<family>/<topology>/<seed>`; building it again gives the same scenario to the bit."""
        return f"{self.family}/{self.topology}/{self.seed}" + ("/calm" if self.is_calm else "")


def calmed(scenario: Scenario) -> Scenario:
    """The same drive without its hazard: no event happens, and what lies in the way is not there.

    Who would brake drives on, who would cut in keeps his lane, who would run out stays behind the parked cars.
    """
    actors = tuple(replace(actor, event=None) for actor in scenario.actors if actor.kind != "debris")
    return replace(scenario, actors=actors, is_hazard=False, is_calm=True)

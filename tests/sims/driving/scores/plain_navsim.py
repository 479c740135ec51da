"""NAVSIM's terms once more, the long way: one step, one proposal, one track at a time, with the lists of dropped tracks
that the fast code does without. Slow, and written only to be compared with."""

import numpy as np
import shapely
from scipy.signal import savgol_filter

from sims.driving.scores.scene import ScoredScene

CORNERS = ((1, 1), (-1, 1), (-1, -1), (1, -1))


class PlainScorer:
    def __init__(self, world: ScoredScene, states: np.ndarray):
        self.world, self.states = world, states
        self.proposals, self.steps = states.shape[:2]
        self.lanes = [shapely.Polygon(lane.polygon) for lane in world.map.lanes]
        self.junctions = [shapely.Polygon(ring) for ring in world.map.intersections]
        rings = (*world.map.roadblocks, *world.map.intersections, *world.map.drivable, *world.map.carparks)
        self.ground = [shapely.Polygon(ring) for ring in rings]
        self.present = [np.asarray(track.present) for track in world.tracks]
        self.route = shapely.LineString(world.centreline[:, :2])

    def centre(self, p: int, t: int) -> np.ndarray:
        x, y, heading = self.states[p, t, :3]
        car = self.world.vehicle
        ahead = (car.front_m + car.rear_m) / 2.0 - car.rear_m
        return np.array([x, y]) + np.array([ahead * np.cos(heading), ahead * np.sin(heading)])

    def corners(self, p: int, t: int) -> list[np.ndarray]:
        car, heading = self.world.vehicle, self.states[p, t, 2]
        return self._corners(self.centre(p, t), heading, (car.front_m + car.rear_m) / 2.0, car.width_m / 2.0)

    @staticmethod
    def _corners(centre: np.ndarray, heading: float, half_length: float, half_width: float) -> list[np.ndarray]:
        side = heading + np.pi / 2.0
        found = []
        for lon, lat in CORNERS:
            a, b = lon * half_length, lat * half_width
            x = (b * np.cos(side)) + (a * np.cos(heading))
            y = (b * np.sin(side)) + (a * np.sin(heading))
            found.append(centre + np.array([x, y]))
        return found

    def track_box(self, track: int, t: int) -> shapely.Polygon:
        x, y, heading, length, width = self.world.tracks[track].boxes[t]
        return shapely.Polygon(self._corners(np.array([x, y]), heading, length / 2.0, width / 2.0))

    def in_junction(self, point: np.ndarray) -> bool:
        return any(shapely.Point(*point).within(polygon) for polygon in self.junctions)

    def exposed(self, p: int, t: int) -> bool:
        return self.many_lanes(p, t) or self.off_road(p, t)

    def many_lanes(self, p: int, t: int) -> bool:
        counts = [sum(lane.contains(shapely.Point(*c)) for c in self.corners(p, t)) for lane in self.lanes]
        return sum(count > 0 for count in counts) > 1 and 4 not in counts

    def off_road(self, p: int, t: int) -> bool:
        held = [any(g.contains(shapely.Point(*c)) for g in self.ground) for c in self.corners(p, t)]
        return not all(held)

    def off_route(self, p: int, t: int) -> bool:
        middle = shapely.Point(*self.centre(p, t))
        lanes = zip(self.lanes, self.world.map.lanes, strict=True)
        return not any(polygon.contains(middle) for polygon, lane in lanes if lane.is_on_route)

    def angle(self, p: int, t: int, other: shapely.Polygon | shapely.Point) -> float:
        towards = np.array([other.centroid.x - self.states[p, t, 0], other.centroid.y - self.states[p, t, 1]])
        facing = np.array([np.cos(self.states[p, t, 2]), np.sin(self.states[p, t, 2])])
        with np.errstate(all="ignore"):
            return float(np.arccos(np.dot(facing, towards / np.linalg.norm(towards))))

    def speed(self, p: int, t: int) -> float:
        return float(np.hypot(self.states[p, t, 3], self.states[p, t, 4]))

    def no_collision(self) -> list[float]:
        scores = [1.0] * self.proposals
        dropped: list[set[int]] = [set() for _ in range(self.proposals)]
        for t in range(self.steps):
            for p in range(self.proposals):
                ego = shapely.Polygon(self.corners(p, t))
                for index, track in enumerate(self.world.tracks):
                    if index in dropped[p] or not self.present[index][t]:
                        continue
                    other = self.track_box(index, t)
                    if not ego.intersects(other):
                        continue
                    first = int(np.flatnonzero(self.present[index])[0])
                    stopped = track.kind not in ("vehicle", "pedestrian", "bicycle") or (
                        np.hypot(*track.velocity[first]) <= 0.05
                    )
                    front = shapely.LineString([self.corners(p, t)[0], self.corners(p, t)[3]])
                    if self.speed(p, t) <= 0.05:
                        at_fault = False
                    elif stopped:
                        at_fault = True
                    elif self.angle(p, t, other) > np.deg2rad(150):
                        at_fault = False
                    elif front.intersects(other):
                        at_fault = True
                    else:
                        at_fault = self.exposed(p, t)
                    if at_fault:
                        scores[p] = min(scores[p], 0.0 if track.kind in ("vehicle", "pedestrian", "bicycle") else 0.5)
                    else:
                        dropped[p].add(index)
        return scores

    def ttc(self, num_steps: int) -> list[float]:
        scores = [1.0] * self.proposals
        dropped: list[set[int]] = [set() for _ in range(self.proposals)]
        for t in range(num_steps):
            for ahead in (0, 3, 6, 9):
                for p in range(self.proposals):
                    speed, heading = self.speed(p, t), self.states[p, t, 2]
                    way = np.array([np.cos(heading) * speed, np.sin(heading) * speed]) * (float(ahead) * 0.1)
                    ego = shapely.Polygon([corner + way for corner in self.corners(p, t)])
                    for index in range(len(self.world.tracks)):
                        if index in dropped[p] or speed < 0.005 or not self.present[index][t + ahead]:
                            continue
                        other = self.track_box(index, t + ahead)
                        if not ego.intersects(other):
                            continue
                        angle = self.angle(p, t, other)
                        wide = self.exposed(p, t) or self.in_junction(self.states[p, t, :2])
                        if angle < np.deg2rad(30) or (wide and not angle > np.deg2rad(150)):
                            scores[p] = 0.0
                        else:
                            dropped[p].add(index)
        return scores

    def drivable(self) -> list[float]:
        return [0.0 if any(self.off_road(p, t) for t in range(self.steps)) else 1.0 for p in range(self.proposals)]

    def direction(self, version: str) -> list[float]:
        metres = np.zeros((self.proposals, self.steps))
        for p in range(self.proposals):
            for t in range(1, self.steps):
                counts = self.off_route(p, t)
                if version == "v2":
                    counts = counts and not self.in_junction(self.centre(p, t))
                if counts:
                    metres[p, t] = np.linalg.norm(self.centre(p, t) - self.centre(p, t - 1))
        if version == "v1.0":
            most = [np.max(sum(metres[max(0, p - 10) : p + 1])) for p in range(self.proposals)]
        else:
            most = [
                max(metres[p, max(0, t - 10) : t + 1].sum() for t in range(self.steps)) for p in range(self.proposals)
            ]
        return [1.0 if metre < 2.0 else 0.5 if metre < 6.0 else 0.0 for metre in most]

    def lights(self) -> list[float]:
        scores = [1.0] * self.proposals
        for p in range(self.proposals):
            for t in range(self.steps):
                for polygon, lane in zip(self.lanes, self.world.map.lanes, strict=True):
                    red = lane.red is not None and lane.red[t] and lane.is_on_route
                    if red and shapely.Polygon(self.corners(p, t)).intersects(polygon):
                        scores[p] = 0.0
        return scores

    def lane_keeping(self) -> list[float]:
        scores = [1.0] * self.proposals
        for p in range(self.proposals):
            count = 0
            for t in range(self.steps):
                if self.in_junction(self.centre(p, t)):
                    continue
                far = shapely.Point(*self.centre(p, t)).distance(self.route) > 0.5
                count = count + 1 if far else 0
                if count >= 20:
                    scores[p] = 0.0
        return scores

    def raw_progress(self) -> list[float]:
        first = [self.route.project(shapely.Point(*self.centre(p, 0))) for p in range(self.proposals)]
        last = [self.route.project(shapely.Point(*self.centre(p, self.steps - 1))) for p in range(self.proposals)]
        return [max(0.0, b - a) for a, b in zip(first, last, strict=True)]

    def comfortable(self, version: str) -> list[float]:
        scores = []
        for p in range(self.proposals):
            states = self.states[p]
            if version == "v2" and self.world.history is None:
                scores.append(1.0)
                continue
            if version == "v2":
                states = np.vstack([np.asarray(self.world.history), states])
            ax, ay, heading = states[:, 5].copy(), states[:, 6], np.unwrap(states[:, 2])
            magnitude = np.hypot(ax, ay)
            if version == "v2":
                ahead = self.world.vehicle.rear_axle_to_centre_m
                ax += ahead * states[:, 9] ** 2 + ahead * states[:, 10]
            wide, long = (len(states), len(states)) if version == "v1" else (8, 15)
            smooth = [np.round(np.asarray(savgol_filter(series, wide, 2)), 8) for series in (ax, ay)]
            felt = [np.round(np.asarray(savgol_filter(series, 8, 2)), 8) for series in (ax, magnitude)]
            jerk = [np.asarray(savgol_filter(series, long, 2, deriv=1, delta=0.1)) for series in felt]
            yaw_rate = np.asarray(savgol_filter(heading, 5, 2, deriv=1, delta=0.1))
            yaw_acc = np.asarray(savgol_filter(heading, 5, 3, deriv=2, delta=0.1))
            good = (smooth[0] > -4.05).all() and (smooth[0] < 2.40).all() and (np.abs(smooth[1]) < 4.89).all()
            good = good and (np.abs(jerk[0]) < 4.13).all() and (np.abs(jerk[1]) < 8.37).all()
            good = good and (np.abs(yaw_rate) < 0.95).all() and (np.abs(yaw_acc) < 1.93).all()
            scores.append(float(good))
        return scores


def plain_pdms(world: ScoredScene, states: np.ndarray, version: str) -> list[dict[str, float]]:
    scorer = PlainScorer(world, states)
    nc, dac, ddc = scorer.no_collision(), scorer.drivable(), scorer.direction(version)
    ttc, comfort, raw = scorer.ttc(41), scorer.comfortable("v1"), scorer.raw_progress()
    product = [a * b * (c if version == "v1.0" else 1.0) for a, b, c in zip(nc, dac, ddc, strict=True)]
    earned = [a * b for a, b in zip(raw, product, strict=True)]
    rows = []
    for p in range(len(states)):
        ep = earned[p] / max(earned) if max(earned) > 5.0 else (0.0 if product[p] == 0.0 else 1.0)
        score = product[p] * (5 * ep + 5 * ttc[p] + 2 * comfort[p]) / 12
        rows.append({"NC": nc[p], "DAC": dac[p], "EP": ep, "TTC": ttc[p], "C": comfort[p], "score": score})
        if version == "v1.0":
            rows[-1]["DDC"] = ddc[p]
    return rows


def plain_epdms(world: ScoredScene, states: np.ndarray) -> list[dict[str, float]]:
    scorer = PlainScorer(world, states)
    nc, dac, ddc, tlc = scorer.no_collision(), scorer.drivable(), scorer.direction("v2"), scorer.lights()
    ttc, lk, hc, raw = scorer.ttc(32), scorer.lane_keeping(), scorer.comfortable("v2"), scorer.raw_progress()
    product = [a * b * c * d for a, b, c, d in zip(nc, dac, ddc, tlc, strict=True)]
    best = max(a * b for a, b in zip(raw, product, strict=True))
    rows = []
    for p in range(len(states)):
        ep = min(raw[p] / best, 1.0) if best > 5.0 else 1.0
        score = product[p] * (5 * ep + 5 * ttc[p] + 2 * lk[p] + 2 * hc[p]) / 14
        terms = {"NC": nc[p], "DAC": dac[p], "DDC": ddc[p], "TLC": tlc[p], "EP": ep}
        rows.append(terms | {"TTC": ttc[p], "LK": lk[p], "HC": hc[p], "score": score})
    return rows

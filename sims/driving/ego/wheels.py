# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules without stubs.
"""The ego as a car on four wheels: suspension, steered front wheels, grip from contacts.

Below the limit of grip it turns like the bicycle, beyond it slides on the friction circle. Not modelled: slip angles of
tyres (so no understeer below the limit) and their dependence on load. Brakes are Coulomb friction in the wheel
bearings, so they hold a standing car and lock a wheel that has too little grip.
"""

import mujoco
import numpy as np
from jaxtyping import Float, Float64

from sims.driving.ego.vehicle import (
    GRAVITY_MPS2,
    MAX_ACCELERATION_MPS2,
    MAX_BRAKING_MPS2,
    MAX_STEER_RAD,
    MAX_STEER_RATE_RADPS,
)
from sims.driving.scores.scene import (
    AX,
    AY,
    HEADING,
    STATE_SIZE,
    STEER,
    STEER_RATE,
    VX,
    VY,
    YAW_ACC,
    YAW_RATE,
    VehicleParameters,
    X,
    Y,
)

GROUP = 4  # of geoms that nobody sees
TIMESTEP_S = 0.002
MASS_KG, WHEEL_KG = 1950.0, 25.0
WHEEL_RADIUS_M, WHEEL_HALF_WIDTH_M = 0.34, 0.11
_INERTIA = (700.0, 3000.0, 3300.0)  # roll, pitch, yaw, kg m^2
_COG_Z_M = 0.55
_SINK_M = 0.10  # of the suspension under the car's weight
_DAMPING_RATIO = 0.5
_BLOCK = 10  # physics steps between updates of the steering, 20 ms as in the bicycle
_NAMES = ("front_left", "front_right", "rear_left", "rear_right")


def add_car(spec: mujoco.MjSpec, vehicle: VehicleParameters) -> mujoco.MjsBody:
    """Add ground to stand on and the car; the body's frame is the vehicle frame (rear axle, on the ground)."""
    option = spec.option
    option.timestep, option.integrator = TIMESTEP_S, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    option.gravity = [0.0, 0.0, -GRAVITY_MPS2]
    spec.worldbody.add_geom(
        name="ego.ground", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1.0, 1.0, 1.0], group=GROUP, priority=1, condim=3
    )
    body = spec.worldbody.add_body(name="ego", explicitinertial=True)
    body.mass, body.inertia = MASS_KG, list(_INERTIA)
    body.ipos = [vehicle.cog_m, 0.0, _COG_Z_M]
    body.add_freejoint(name="ego")
    track = vehicle.width_m / 2 - 2.5 * WHEEL_HALF_WIDTH_M
    front_share = vehicle.cog_m / vehicle.wheelbase_m
    for name in _NAMES:
        is_front = name.startswith("front")
        load = MASS_KG * GRAVITY_MPS2 / 2 * (front_share if is_front else 1 - front_share)
        place = [vehicle.wheelbase_m if is_front else 0.0, track if name.endswith("left") else -track, WHEEL_RADIUS_M]
        _add_wheel(spec, body, name, place, load, is_front)
    return body


def _add_wheel(
    spec: mujoco.MjSpec, car: mujoco.MjsBody, name: str, place: list[float], load_n: float, is_steered: bool
) -> None:
    stiffness = load_n / _SINK_M
    wheel = car.add_body(name=f"wheel.{name}", pos=place)
    wheel.add_joint(
        name=f"spring.{name}",
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[0, 0, 1],
        stiffness=stiffness,
        springref=-_SINK_M,  # at rest the weight of the car is carried at zero
        damping=2 * _DAMPING_RATIO * np.sqrt(stiffness * load_n / GRAVITY_MPS2),
    )
    if is_steered:
        wheel.add_joint(name=f"steer.{name}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 0, 1], damping=50, armature=1)
        servo = spec.add_actuator(name=f"steer.{name}", target=f"steer.{name}", trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=20000.0, kv=400.0)
    wheel.add_joint(name=f"spin.{name}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0], frictionloss=1e-3)
    motor = spec.add_actuator(name=f"spin.{name}", target=f"spin.{name}", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.set_to_motor()
    wheel.add_geom(
        name=f"ego.wheel.{name}",
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        size=[WHEEL_RADIUS_M, WHEEL_HALF_WIDTH_M, WHEEL_RADIUS_M],
        mass=WHEEL_KG,
        rgba=[0.05, 0.05, 0.05, 1.0],
        group=GROUP,
    )


class Wheels:
    """Drives the car that `add_car` put into a model."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, vehicle: VehicleParameters) -> None:
        self._model, self._data, self._vehicle = model, data, vehicle
        self._ground = model.geom("ego.ground").id
        self._spin = np.array([model.joint(f"spin.{name}").dofadr[0] for name in _NAMES])
        self._steer = np.array([model.joint(f"steer.{name}").qposadr[0] for name in _NAMES[:2]])
        self._motors = np.array([model.actuator(f"spin.{name}").id for name in _NAMES])
        self._servos = np.array([model.actuator(f"steer.{name}").id for name in _NAMES[:2]])
        self._root = model.joint("ego")
        self._half_track = abs(float(model.body("wheel.front_left").pos[1]))
        self.mass_kg = float(model.body_subtreemass[model.body("ego").id])
        wheel_inertia = 4 * 0.4 * WHEEL_KG  # of ellipsoids that spin, over the radius squared
        self._driven_kg = self.mass_kg + wheel_inertia

    def place(self, ego: Float[np.ndarray, " 11"]) -> None:
        """Put the car on the road as the world's state has it, rolling without slip."""
        data = self._data
        data.qpos[:], data.qvel[:], data.ctrl[:] = self._model.qpos0, 0.0, 0.0
        first, speed = self._root.qposadr[0], float(ego[VX])
        heading = float(ego[HEADING])
        data.qpos[first : first + 7] = [ego[X], ego[Y], 0.0, np.cos(heading / 2), 0.0, 0.0, np.sin(heading / 2)]
        start = self._root.dofadr[0]
        data.qvel[start : start + 2] = speed * np.cos(heading), speed * np.sin(heading)
        data.qvel[start + 5] = ego[YAW_RATE]
        data.qvel[self._spin] = speed / WHEEL_RADIUS_M
        data.qpos[self._steer] = data.ctrl[self._servos] = self._ackermann(float(ego[STEER]))
        data.qacc_warmstart[:] = 0.0
        mujoco.mj_forward(self._model, data)

    def drive(
        self, before: Float[np.ndarray, " 11"], control: Float[np.ndarray, " 2"], friction: float, dt_s: float
    ) -> Float64[np.ndarray, " 11"]:
        """Advance the physics under a control in [-1, 1] (steer, pedal); the ego's state then, at the rear axle."""
        self._model.geom_friction[self._ground, 0] = friction
        self._set_pedal(float(control[1]))
        target, steer = float(control[0]) * MAX_STEER_RAD, float(before[STEER])
        block_s = _BLOCK * TIMESTEP_S
        for _ in range(round(dt_s / block_s)):
            steer += float(np.clip(target - steer, -MAX_STEER_RATE_RADPS * block_s, MAX_STEER_RATE_RADPS * block_s))
            self._data.ctrl[self._servos] = self._ackermann(steer)
            mujoco.mj_step(self._model, self._data, _BLOCK)
        return self._ego_state(before, steer, dt_s)

    def _set_pedal(self, pedal: float) -> None:
        """The engine turns all wheels; brakes are friction in them, shared as the load is when braking hard."""
        push = max(pedal, 0.0) * MAX_ACCELERATION_MPS2 * self._driven_kg * WHEEL_RADIUS_M
        hold = max(-pedal, 0.0) * MAX_BRAKING_MPS2 * self._driven_kg * WHEEL_RADIUS_M
        self._data.ctrl[self._motors] = push / 4
        self._model.dof_frictionloss[self._spin] = 1e-3 + hold * np.array([0.33, 0.33, 0.17, 0.17])

    def _ackermann(self, steer: float) -> Float64[np.ndarray, " 2"]:
        """Angles of the left and right front wheel whose axles meet where the bicycle's do."""
        curvature = np.tan(steer) / self._vehicle.wheelbase_m
        sides = np.array([-self._half_track, self._half_track])
        return np.arctan(self._vehicle.wheelbase_m * curvature / (1 + sides * curvature))

    def _ego_state(self, before: Float[np.ndarray, " 11"], steer: float, dt_s: float) -> Float64[np.ndarray, " 11"]:
        first, start = self._root.qposadr[0], self._root.dofadr[0]
        w, x, y, z = self._data.qpos[first + 3 : first + 7]
        yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        velocity = self._data.qvel[start : start + 2]
        yaw_rate = float(self._data.qvel[start + 5])  # about the body's own axis, nearly upright
        state = np.empty(STATE_SIZE)
        state[X], state[Y] = self._data.qpos[first : first + 2]
        state[HEADING] = before[HEADING] + np.angle(np.exp(1j * (yaw - before[HEADING])))
        state[VX] = velocity[0] * np.cos(yaw) + velocity[1] * np.sin(yaw)
        state[VY] = -velocity[0] * np.sin(yaw) + velocity[1] * np.cos(yaw)
        state[YAW_RATE], state[YAW_ACC] = yaw_rate, (yaw_rate - before[YAW_RATE]) / dt_s
        state[AX] = (state[VX] - before[VX]) / dt_s
        state[AY] = state[VX] * yaw_rate
        state[STEER], state[STEER_RATE] = steer, (steer - before[STEER]) / dt_s
        return state

"""A trained model as a policy: observations of environments in, action chunks out."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unified.errors import UserError
from unified.model.batch import Batch, Observation, images_to_float, images_to_uint8
from unified.model.stored.checkpoint import load_weights
from unified.model.config import ModelConfig
from unified.model.stored.history import History
from unified.model.model import UnifiedModel
from unified.model.queries import QUERIES
from unified.model.spec import DataSpec
from unified.rollout.episodes import Decision, PolicyNeeds

Pictures = UInt8[np.ndarray, " camera _ _ 3"]


class ModelPolicy:
    """Answers the `policy` query for environments of one embodiment.

    The noise of a decision comes from (seed, episode, number of the decision), so that it does not depend on which
    other environments are answered in the same call.

    Args:
        model: in evaluation mode from here on.
        embodiment: the body that acts, one of the model's.
        num_steps: denoise steps; 1 gives the mean of what is possible, which is as good for a single best action.
        n_action_steps: actions executed before the next decision, at most the model's `action_horizon`.
        guidance: see `UnifiedModel.sample`.
        seed: seed of the noise.
        device: where the model runs; by default where it is.
        bf16: run in bfloat16; by default on where there is an accelerator (on a CPU it is slower for small batches).
        max_batch: most decisions in one call of the model.

    Raises:
        UserError: if the model was not trained for this embodiment or on this query, or predicts fewer actions than
            asked for.
    """

    query = "policy"

    def __init__(
        self,
        model: UnifiedModel,
        embodiment: str,
        num_steps: int = 1,
        n_action_steps: int = 4,
        guidance: float = 1.0,
        seed: int = 0,
        device: str | torch.device | None = None,
        bf16: bool | None = None,
        max_batch: int = 256,
    ) -> None:
        spec = model.spec
        self.body = spec.embodiments[spec.index(embodiment)]
        model.history.check_learned(self.query)
        if not 1 <= n_action_steps <= spec.action_horizon:
            raise UserError(
                f"n_action_steps must be between 1 and the model's action_horizon ({spec.action_horizon}), "
                f"got {n_action_steps}."
            )
        self.model = model.eval() if device is None else model.eval().to(device)
        self.device = next(self.model.parameters()).device
        self._bf16 = self.device.type != "cpu" if bf16 is None else bf16
        self._num_steps, self._guidance, self._seed, self._max_batch = num_steps, guidance, seed, max_batch
        self.needs = PolicyNeeds(
            cameras=self.body.cameras,
            image_size=spec.image_size[0],
            n_action_steps=n_action_steps,
            observation_offsets=tuple(-spec.obs_stride * back for back in reversed(range(spec.n_obs_steps))),
        )

    def act(
        self, decisions: Sequence[Decision], keys: Sequence[tuple[int, int]]
    ) -> list[Float[np.ndarray, " n_action_steps action_dim"]]:
        """Answer decisions (see `unified.rollout.rollout.Policy`).

        Raises:
            UserError: if an observation does not fit what the model was trained on.
        """
        chunks: list[Float[np.ndarray, " n_action_steps action_dim"]] = []
        for start in range(0, len(decisions), self._max_batch):
            rows = slice(start, start + self._max_batch)
            answer = self.answer(decisions[rows], keys[rows], self.query)
            chunks += list(self._to_chunks(answer["action"]))
        return chunks

    @torch.no_grad()
    def answer(
        self, decisions: Sequence[Decision], keys: Sequence[tuple[int, int]], query: str
    ) -> dict[str, Float[Tensor, " batch *event"]]:
        """Everything a query without given streams ("policy", "joint", "video") answers, in data units, on the CPU.

        Raises:
            UserError: if an observation does not fit what the model was trained on.
        """
        for decision in decisions:
            self._check(decision)
        observation = collate(
            [decision.observation for decision in decisions],
            [decision.task for decision in decisions],
            self.body.name,
            self.model.spec,
        )
        noise = {name: torch.stack([self._noise(name, key) for key in keys]) for name in QUERIES[query].wanted}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            answer = self.model.sample(
                Batch(observation).to(self.device),
                QUERIES[query],
                num_steps=self._num_steps,
                guidance=self._guidance,
                noise={name: value.to(self.device) for name, value in noise.items()},
            )
        return {name: value.float().cpu() for name, value in answer.items()}

    def _to_chunks(
        self, actions: Float[Tensor, " batch action_horizon action_dim"]
    ) -> Float[np.ndarray, " batch n_action_steps own_action_dim"]:
        return actions[:, : self.needs.n_action_steps, : self.body.action_dim].numpy()

    def _noise(self, stream: str, key: tuple[int, int]) -> Float[Tensor, " *event"]:
        decoder: Any = self.model.decoders[stream]
        state = np.random.SeedSequence([self._seed, zlib.crc32(stream.encode()), *key]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(state >> np.uint64(1)))
        return torch.randn(decoder.event_shape(), generator=generator)

    def _check(self, decision: Decision) -> None:
        if decision.embodiment not in self.model.history.names(self.body):
            raise UserError(f"This policy moves {self.body.name!r}, the environment is {decision.embodiment!r}.")
        width = decision.observation["agent_pos"].shape[-1]
        if (width, decision.action_dim) != (self.body.proprio_dim, self.body.action_dim):
            raise UserError(
                f"The environment measures {width} numbers and takes {decision.action_dim} actions; this checkpoint's "
                f"{self.body.name!r} has {self.body.proprio_dim} and {self.body.action_dim}."
            )
        if not np.isfinite(decision.observation["agent_pos"]).all():
            raise UserError(f"The environment's agent_pos is not finite: {decision.observation['agent_pos'][-1]}.")


class PlanPolicy(ModelPolicy):
    """Answers the `joint` query: acts on the plan and keeps the picture that came with it.

    It replans exactly when the pictured moment has come, so that the next observation shows what then happened.

    Attributes:
        pictures: episode key -> one (before, imagined, happened) for each decision that was followed by another one;
            uint8 (camera, height, width, 3) each.
    """

    query = "joint"

    def __init__(self, model: UnifiedModel, embodiment: str, **options: Any) -> None:
        spec = model.spec
        stride = model.history.frame_stride(spec, embodiment)
        frames_ahead = min(spec.num_frames, spec.action_horizon // stride)
        if "video" not in model.decoders or frames_ahead < 1:
            raise UserError(
                f"A picture of the plan needs a video stream and an action_horizon ({spec.action_horizon}) that reaches"
                f" the first future frame ({stride} env steps ahead); leave plans out (--plans 0)."
            )
        super().__init__(model, embodiment, **{**options, "n_action_steps": frames_ahead * stride})
        self._frame = frames_ahead - 1
        self._open: dict[int, tuple[Pictures, Pictures]] = {}
        self.pictures: dict[int, list[tuple[Pictures, Pictures, Pictures]]] = {}

    def act(
        self, decisions: Sequence[Decision], keys: Sequence[tuple[int, int]]
    ) -> list[Float[np.ndarray, " n_action_steps action_dim"]]:
        """Answer decisions and remember what was imagined."""
        answer = self.answer(decisions, keys, self.query)
        imagined = images_to_uint8(answer["video"][:, :, self._frame]).movedim(2, -1).numpy()
        slots = [self.model.spec.cameras.index(camera) for camera in self.body.cameras]
        for row, (decision, (key, _)) in enumerate(zip(decisions, keys, strict=True)):
            now = np.stack([decision.observation["pixels"][camera][-1] for camera in self.body.cameras])
            if key in self._open:
                self.pictures.setdefault(key, []).append((*self._open[key], now))
            self._open[key] = (now, imagined[row, slots])
        return list(self._to_chunks(answer["action"]))


def collate(
    observations: Sequence[dict[str, Any]], tasks: Sequence[str], embodiment: str, spec: DataSpec
) -> Observation:
    """Observations of environments as a model takes them: cameras in the model's order, widths padded with zeros.

    Args:
        observations: of one embodiment, {"pixels": {camera: uint8 (obs_step, H, W, 3)}, "agent_pos": (obs_step, P)}.
        tasks: the instructions.
        embodiment: name of the body.
        spec: of the model.
    """
    index = spec.index(embodiment)
    body, count = spec.embodiments[index], len(observations)
    images = np.zeros((count, len(spec.cameras), spec.n_obs_steps, *spec.image_size, 3), np.uint8)
    for slot, camera in enumerate(spec.cameras):
        if camera in body.cameras:
            images[:, slot] = np.stack([observation["pixels"][camera] for observation in observations])
    proprio = np.zeros((count, spec.n_obs_steps, spec.proprio_dim), np.float32)
    proprio[..., : body.proprio_dim] = np.stack([observation["agent_pos"] for observation in observations])
    is_pad = torch.tensor([camera not in body.cameras for camera in spec.cameras])
    return Observation(
        images=images_to_float(torch.from_numpy(images).movedim(-1, -3)),
        proprio=torch.from_numpy(proprio),
        embodiment=torch.full((count,), index),
        task=tuple(tasks),
        camera_is_pad=is_pad.expand(count, -1).clone() if is_pad.any() else None,
    )


def load_on_device(path: str | Path, device: str | None = None, threads: int | None = None) -> UnifiedModel:
    """A model where it runs: by default on the accelerator, if there is one.

    Args:
        threads: of the processor; more than there are free cores for cost many times what they save.

    Raises:
        UserError: see `load_model`; a device that cannot be used.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return load_model(path).to(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device} cannot be used: {str(error).splitlines()[0]}") from error


def load_model(path: str | Path) -> UnifiedModel:
    """A model from a pretrained folder, a run that holds one, a Lightning .ckpt of ours, or a Hub id (user/name).

    Raises:
        UserError: if there is nothing that can be loaded; the message names the file.
    """
    place = Path(path)
    if place.suffix != ".ckpt":
        inner = place / "pretrained"
        return UnifiedModel.from_pretrained(inner if inner.is_dir() else path)
    stored = load_weights(place)
    hyper = stored.get("hyper_parameters", {})
    if not {"spec", "network"} <= set(hyper):
        raise UserError(f"{place} holds no model description (spec and network); it was not written by `unified fit`.")
    model = UnifiedModel(ModelConfig.from_dict(hyper["network"]), DataSpec.from_dict(hyper["spec"]))
    weights = {
        name.removeprefix("model."): value for name, value in stored["state_dict"].items() if name.startswith("model.")
    }
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{place}: weights do not fit the network it describes: {str(error).splitlines()[-1]}"
        ) from error
    if "history" in stored:
        model.history = History.from_dict(stored["history"], str(place))
    return model.eval()

"""A trained model as a policy: observations of environments in, action chunks out."""

import itertools
import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unified.errors import UserError
from unified.model.batch import Batch, images_to_float, images_to_uint8
from unified.model.config import ModelConfig
from unified.model.model import UnifiedModel
from unified.model.spec import ACTION, PROPRIO, DataSpec
from unified.model.stored.checkpoint import load_weights
from unified.model.stored.history import History
from unified.rollout.episodes import Decision, PolicyNeeds

Pictures = UInt8[np.ndarray, " camera _ _ 3"]


class ModelPolicy:
    """Answers the `policy` query for environments of one embodiment.

    It is shown the moments that the query was trained to see, as far back as the episode goes. The noise of a decision
    comes from (seed, episode, number of the decision), so that it does not depend on which other environments are
    answered in the same call.

    Args:
        model: in evaluation mode from here on.
        embodiment: the body that acts, one of the model's.
        num_steps: denoise steps; 1 gives the mean of what is possible, which is as good for a single best action.
        n_action_steps: actions executed before the next decision, at most as many as are predicted.
        guidance: see `UnifiedModel.sample`.
        seed: seed of the noise.
        device: where the model runs; by default where it is.
        bf16: run in bfloat16; by default on where there is an accelerator (on a CPU it is slower for small batches).
        max_batch: most decisions in one call of the model.

    Raises:
        UserError: if the model was not trained for this embodiment or on this query, or predicts fewer actions than
            asked for.
    """

    query, commands = "policy", "plan"

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
        self.asked = model.query(self.query)
        self._check_asked()
        if not 1 <= n_action_steps <= spec.action_horizon:
            raise UserError(
                f"n_action_steps must be between 1 and the model's action_horizon ({spec.action_horizon}), "
                f"got {n_action_steps}."
            )
        self.model = model.eval() if device is None else model.eval().to(device)
        self.device = next(self.model.parameters()).device
        self._bf16 = self.device.type != "cpu" if bf16 is None else bf16
        self._num_steps, self._guidance, self._seed, self._max_batch = num_steps, guidance, seed, max_batch
        # A window's last element has all the moments before it; no other history was trained.
        most = min(model.num_elements(name, spec.num_moments) for name in self.asked.wanted) - 1
        history = most if self.asked.history is None else min(self.asked.history, most)
        self.needs = PolicyNeeds(
            cameras=self.body.cameras,
            image_size=spec.image_size[0],
            n_action_steps=n_action_steps,
            history=max(0, history),
            stride=model.history.frame_stride(spec, embodiment),
        )

    def act(
        self, decisions: Sequence[Decision], keys: Sequence[tuple[int, int]]
    ) -> list[Float[np.ndarray, " n_action_steps action_dim"]]:
        """Answer decisions (see `unified.rollout.rollout.Policy`).

        Raises:
            UserError: if an observation does not fit what the model was trained on.
        """
        return self._to_chunks(self.answer(decisions, keys))

    @torch.no_grad()
    def answer(
        self, decisions: Sequence[Decision], keys: Sequence[tuple[int, int]]
    ) -> dict[str, Float[Tensor, " batch *event"]]:
        """Everything that the query answers, in data units, on the CPU.

        Raises:
            UserError: if an observation does not fit what the model was trained on.
        """
        for decision in decisions:
            self._check(decision)
        rows = sorted(range(len(decisions)), key=lambda row: decisions[row].num_moments)
        answers: list[dict[str, Tensor]] = []
        for _, alike in itertools.groupby(rows, lambda row: decisions[row].num_moments):
            for some in itertools.batched(alike, self._max_batch):
                answers.append(self._answer([decisions[row] for row in some], [keys[row] for row in some]))
        order = torch.tensor(rows).argsort()
        return {name: torch.cat([answer[name] for answer in answers])[order] for name in self.asked.wanted}

    def _answer(self, decisions: Sequence[Decision], keys: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        noise = {name: torch.stack([self._noise(name, key) for key in keys]) for name in self.asked.wanted}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            answer = self.model.sample(
                collate(decisions, self.body.name, self.model.spec, self.needs.stride).to(self.device),
                self.asked,
                num_steps=self._num_steps,
                guidance=self._guidance,
                noise={name: value.to(self.device) for name, value in noise.items()},
            )
        return {name: value.float().cpu() for name, value in answer.items()}

    def _to_chunks(self, answer: dict[str, Tensor]) -> list[Float[np.ndarray, " n_action_steps action_dim"]]:
        return list(answer[self.commands][:, : self.needs.n_action_steps, : self.body.action_dim].numpy())

    def _noise(self, stream: str, key: tuple[int, int]) -> Float[Tensor, " *event"]:
        return self.model.noise_of(stream, [(self._seed, zlib.crc32(stream.encode()), *key)])[0]

    def _check_asked(self) -> None:
        """Whether the query, as it was trained, can be acted on."""
        query = self.asked
        if query.given or self.commands not in query.wanted:
            raise UserError(
                f"The query {query.name!r} of this checkpoint wants {', '.join(query.wanted)}, given "
                f"{', '.join(query.given) or 'nothing'}; to act on it, it must want {self.commands}, given nothing, as "
                "it does by default."
            )

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
    """Answers the `joint` query: executes the commands of one step and keeps the picture that came with them.

    It replans exactly when the pictured moment has come, so that the next observation shows what then happened.

    Attributes:
        pictures: episode key -> one (before, imagined, happened) for each decision that was followed by another one;
            uint8 (camera, height, width, 3) each.
    """

    query, commands = "joint", "action"

    def __init__(self, model: UnifiedModel, embodiment: str, **options: Any) -> None:
        super().__init__(model, embodiment, **{**options, "n_action_steps": 1})
        if "video" not in self.asked.wanted:
            raise UserError("A picture of the plan needs a joint query that wants video; leave plans out (--plans 0).")
        self.needs = replace(self.needs, n_action_steps=self.needs.stride)
        self._open: dict[int, tuple[Pictures, Pictures]] = {}
        self.pictures: dict[int, list[tuple[Pictures, Pictures, Pictures]]] = {}

    def act(
        self, decisions: Sequence[Decision], keys: Sequence[tuple[int, int]]
    ) -> list[Float[np.ndarray, " n_action_steps action_dim"]]:
        """Answer decisions and remember what was imagined."""
        answer = self.answer(decisions, keys)
        imagined = images_to_uint8(answer["video"]).movedim(2, -1).numpy()
        slots = [self.model.spec.cameras.index(camera) for camera in self.body.cameras]
        for row, (decision, (key, _)) in enumerate(zip(decisions, keys, strict=True)):
            now = np.stack([decision.observation["pixels"][camera][-1] for camera in self.body.cameras])
            if key in self._open:
                self.pictures.setdefault(key, []).append((*self._open[key], now))
            self._open[key] = (now, imagined[row, slots])
        return self._to_chunks(answer)


def collate(decisions: Sequence[Decision], embodiment: str, spec: DataSpec, stride: int) -> Batch:
    """What decisions see as a model takes it: cameras in the model's order, widths padded with zeros.

    Args:
        decisions: of one embodiment, with equally many moments.
        embodiment: name of the body.
        spec: of the model.
        stride: env steps from one moment to the next.
    """
    index, count, moments = spec.index(embodiment), len(decisions), decisions[0].num_moments
    body = spec.embodiments[index]
    images = np.zeros((count, moments, len(spec.cameras), *spec.image_size, 3), np.uint8)
    for slot, camera in enumerate(spec.cameras):
        if camera in body.cameras:
            images[:, :, slot] = np.stack([decision.observation["pixels"][camera] for decision in decisions])
    proprio = np.zeros((count, moments, spec.proprio_dim), np.float32)
    proprio[..., : body.proprio_dim] = np.stack([decision.observation["agent_pos"] for decision in decisions])
    executed = np.zeros((count, moments - 1, spec.frame_stride, spec.action_dim), np.float32)
    executed[:, :, :stride, : body.action_dim] = np.stack([decision.executed for decision in decisions])
    is_pad = torch.tensor([camera not in body.cameras for camera in spec.cameras])
    return Batch(
        images=images_to_float(torch.from_numpy(images).movedim(-1, -3)),
        at={PROPRIO: torch.from_numpy(proprio)},
        between={ACTION: torch.from_numpy(executed)} if moments > 1 else {},
        embodiment=torch.full((count,), index),
        task=tuple(decision.task for decision in decisions),
        stride=None if stride == spec.frame_stride else torch.full((count,), stride),
        camera_is_pad=is_pad.expand(count, -1).clone() if is_pad.any() else None,
    )


def load_on_device(path: str | Path, device: str | None = None, threads: int | None = None) -> UnifiedModel:
    """A model where it runs: by default on the accelerator, if there is one.

    Args:
        threads: of the processor; more than there are free cores for cost many times what they save. None: as they are.

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


def half_the_cores() -> int:
    """Threads for a network beside a simulator and whatever else runs; a small one gains nothing from more."""
    return max(1, (os.cpu_count() or 1) // 2)


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
    try:
        model = UnifiedModel(ModelConfig.from_dict(hyper["network"]), DataSpec.from_dict(hyper["spec"]))
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
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

"""`UnifiedModel` as a LeRobot policy."""

import tempfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from lerobot.configs import PreTrainedConfig
from lerobot.policies import PreTrainedPolicy
from torch import Tensor, nn

from lerobot_policy_unified.configuration_unified import UnifiedConfig
from lerobot_policy_unified.windows import to_decisions, to_windows
from tasks.mixing import interleave, mixes_of
from unified.data.stats import constant_columns
from unified.errors import UserError
from unified.model.config import ModelConfig
from unified.model.model import UnifiedModel
from unified.model.queries import Query
from unified.model.spec import ACTION, PROPRIO
from unified.model.stored.history import History
from unified.rollout.policies import ModelPolicy

EPISODE_KEY = "observation.episode_key"
"""Where an environment of ours says which episode this is: the halves of its key, so that float32 can hold them."""


class UnifiedPolicy(PreTrainedPolicy):
    """Trains all queries of a `UnifiedModel`, acts on the query `policy`.

    The folder that `save_pretrained` writes is a checkpoint of ours, with LeRobot's `config.json` beside it.

    Args:
        config: the options.
        dataset_stats, dataset_meta: of the data set to train on, from LeRobot.
        model: one that exists already; otherwise it is made anew.
    """

    config_class = UnifiedConfig  # pyright: ignore[reportAssignmentType] -- LeRobot declares None
    name = "unified"  # pyright: ignore[reportAssignmentType]
    config: UnifiedConfig

    def __init__(
        self,
        config: UnifiedConfig,
        dataset_stats: Mapping[str, Mapping[str, Any]] | None = None,
        dataset_meta: Any = None,
        model: UnifiedModel | None = None,
        **_: Any,
    ):
        super().__init__(config)
        if dataset_meta is not None:
            config.embodiment = config.embodiment or dataset_meta.robot_type or "robot"
            config.control_dt = config.control_dt or 1 / dataset_meta.fps
        self.model = _new_model(config, dataset_stats) if model is None else model
        if dataset_meta is not None:
            self.model.text.check(dataset_meta.tasks.index)
        _check_windows(config, self.model)
        queries = [self.model.query(_query(name, values)) for name, values in config.queries.items()]
        mixes = mixes_of(queries)
        self._mixes, self._shares = [*mixes], [*mixes.values()]
        if model is None:
            self.model.history = History({query.name: query for query in queries})
        self._actor: ModelPolicy | None = None
        self._first = self._size = 0
        self.reset()

    def get_optim_params(self) -> nn.Module:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The network itself: `MuonConfig` wants to know which parameters are the backbone's matrices."""
        return self.model

    def reset(self) -> None:
        """Episodes begin."""
        self._queue: deque[Tensor] = deque()
        self._decisions, self._first, self._size = 0, self._first + self._size, 0

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum of the errors of all streams, as in `tasks.base.GenerativeTask`."""
        if len(self.model.spec.embodiments) > 1:
            raise UserError("LeRobot trains one body; this checkpoint has several. `unified fit` goes on with it.")
        windows = to_windows(batch, self.model.spec)
        keys = torch.randint(2**31, (len(windows), 2)).tolist()  # LeRobot keeps the state of this generator
        asked = interleave(self._shares, len(windows))
        errors = self.model.loss(windows, self._mixes, asked, self.model.draw(keys))
        total = torch.stack([self.config.loss_weights.get(name, 1.0) * e.mean() for name, (e, _) in errors.items()])
        losses = {f"loss_{name}": (e.sum() / known.sum().clamp_min(1)).item() for name, (e, known) in errors.items()}
        return total.sum(), losses

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Any], **_: Any) -> Tensor:
        """The whole plan, in the data's units."""
        self._actor = self._actor or _make_actor(self.model.eval(), self.config)
        self.model.eval()
        body, spec = self._actor.body, self.model.spec
        decisions = to_decisions(batch, body.cameras, spec, body.name, self._decisions)
        self._size = len(decisions)
        keys = batch.get(EPISODE_KEY)
        episodes = range(self._first, self._first + self._size) if keys is None else _whole(keys)
        answer = self._actor.answer(decisions, [(episode, self._decisions) for episode in episodes])
        self._decisions += 1
        return answer["plan"][..., : body.action_dim].to(batch[PROPRIO].device)

    @torch.no_grad()
    def select_action(self, batch: dict[str, Any], **_: Any) -> Tensor:
        """The next action; a decision is made when those of the last one are used up."""
        if not self._queue:
            self._queue.extend(self.predict_action_chunk(batch)[:, : self.config.n_action_steps].unbind(1))
        return self._queue.popleft()

    def _save_pretrained(self, save_directory: Path, state_dict: dict[str, Tensor] | None = None) -> None:
        if state_dict is not None:
            raise UserError("Sharded training (FSDP) cannot be saved through LeRobot here; use `unified fit`.")
        self.config._save_pretrained(save_directory)
        with tempfile.TemporaryDirectory(dir=save_directory, prefix=".unified") as temporary:
            for path in sorted(self.model.save_pretrained(Path(temporary) / "model").iterdir()):
                path.replace(save_directory / path.name)

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        pretrained_name_or_path: str | Path,
        *,
        config: UnifiedConfig | None = None,
        revision: str | None = None,
        **options: Any,
    ) -> "UnifiedPolicy":
        """Load a folder or a Hub repository strictly: what is missing, damaged or does not fit is refused."""
        folder = Path(pretrained_name_or_path)
        if not folder.is_dir():
            folder = Path(snapshot_download(str(pretrained_name_or_path), revision=revision))
        config = config or PreTrainedConfig.from_pretrained(folder)  # pyright: ignore[reportAssignmentType]
        assert isinstance(config, UnifiedConfig)
        kept = {name: value for name, value in options.items() if name == "dataset_meta"}
        policy = cls(config, model=UnifiedModel.from_pretrained(folder), **kept)
        return policy.to(config.device or "cpu").eval()


def _new_model(config: UnifiedConfig, stats: Mapping[str, Mapping[str, Any]] | None) -> UnifiedModel:
    model = UnifiedModel(ModelConfig.from_dict(config.network), config.spec())
    if stats:
        model.set_stats({config.embodiment: {key: _moving(stats[key]) for key in (ACTION, PROPRIO)}})
    return model


def _moving(stats: Mapping[str, Any]) -> dict[str, list[float]]:
    """LeRobot's statistics by our rule: what does not move is not scaled."""
    plain = {name: stats[name].tolist() for name in ("mean", "std", "min", "max")}
    same = constant_columns(plain)
    return {**plain, "std": [1.0 if is_same else std for is_same, std in zip(same, plain["std"], strict=True)]}


def _query(name: str, values: Any) -> Query:
    return Query.from_dict(name, values if isinstance(values, Mapping) else {"share": values})


def _check_windows(config: UnifiedConfig, model: UnifiedModel) -> None:
    """Options that a model was built with cannot be changed afterwards."""
    spec = model.spec
    body = spec.embodiments[spec.index(config.embodiment)]
    built = {
        "image_size": spec.image_size[0],
        "num_moments": spec.num_moments,
        "frame_stride": model.history.frame_stride(spec, body.name),
        "action_horizon": spec.action_horizon,
        "cameras": sorted(body.cameras),
    }
    for name, value in built.items():
        asked = sorted(config.cameras) if name == "cameras" else getattr(config, name)
        if asked != value:
            raise UserError(f"policy.{name} is {asked}, but this checkpoint was built with {value}.")


def _make_actor(model: UnifiedModel, config: UnifiedConfig) -> ModelPolicy:
    actor = ModelPolicy(model, config.embodiment, n_action_steps=config.n_action_steps)
    if actor.needs.history:
        raise UserError("As a LeRobot policy the model sees the present alone: queries.policy.history must be 0.")
    return actor


def _whole(keys: Tensor) -> list[int]:
    return [int(high) << 16 | int(low) for high, low in keys.tolist()]

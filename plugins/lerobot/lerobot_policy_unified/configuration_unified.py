"""The policy's options as LeRobot's command line takes them, and what it is trained with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lerobot.configs import FeatureType, NormalizationMode, PolicyFeature, PreTrainedConfig
from lerobot.optim import LRSchedulerConfig, OptimizerConfig
from lerobot.utils.constants import ACTION, OBS_STATE
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tasks.world_action import WorldAction
from unified.errors import UserError
from unified.model.spec import IMAGES, DataSpec, Embodiment
from unified.training.optimizers import Muon
from unified.training.schedule import ProgressSchedule, Schedule


@OptimizerConfig.register_subclass("unified_muon")
@dataclass
class MuonConfig(OptimizerConfig):
    """The optimiser of `unified fit`: see `unified.training.optimizers.Muon`."""

    lr: float = 0.02
    weight_decay: float = 0.0
    grad_clip_norm: float = 1.0
    adamw_lr: float = 1e-3

    def build(self, params: Any) -> Optimizer:
        """Make the optimiser of a network; parameters alone do not say which are matrices of the backbone."""
        if not isinstance(params, nn.Module):
            raise UserError("optimizer.type unified_muon needs use_policy_training_preset: true.")
        return Muon(self.lr, adamw_lr=self.adamw_lr, weight_decay=self.weight_decay).build(params)


@LRSchedulerConfig.register_subclass("unified_flat")
@dataclass
class FlatConfig(LRSchedulerConfig):
    """The schedule of `unified fit`: warm-up, flat, straight line to zero."""

    num_warmup_steps: int | None = 100
    flat: float = 0.4

    def build(self, optimizer: Optimizer, num_training_steps: int) -> LRScheduler:
        schedule = Schedule(self.num_warmup_steps or 0, self.flat)
        return ProgressSchedule(optimizer, schedule, lambda step: step / num_training_steps)


@PreTrainedConfig.register_subclass("unified")
@dataclass
class UnifiedConfig(PreTrainedConfig):
    """What `unified fit` is told in YAML, for the one body of a LeRobot data set.

    Attributes:
        image_size: height and width of the pictures that the model sees; others are scaled to it.
        num_moments, frame_stride, action_horizon: of a window, see `unified.model.spec.DataSpec`.
        n_action_steps: actions executed before the next decision.
        embodiment: name of the body; empty: the data set's `robot_type`.
        control_dt: seconds per action; 0: as the data set's rate says.
        network: the keys of `unified.model.config.ModelConfig`.
        queries: as in `tasks.base.GenerativeTask`; none: all that `tasks.WorldAction` asks.
        loss_weights: factor of each stream's loss.
        warmup_steps, flat: of the learning rate, see `unified.training.schedule.Schedule`.
    """

    image_size: int = 64
    num_moments: int = 5
    frame_stride: int = 4
    action_horizon: int = 8
    n_action_steps: int = 4
    embodiment: str = ""
    control_dt: float = 0.0
    network: dict[str, Any] = field(default_factory=dict)
    queries: dict[str, Any] = field(default_factory=lambda: dict(WorldAction.default_queries))
    loss_weights: dict[str, float] = field(default_factory=lambda: {"video": 60.0})
    lr: float = 0.02
    adamw_lr: float = 1e-3
    warmup_steps: int = 100
    flat: float = 0.4
    # The model normalises by itself.
    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: dict.fromkeys(("VISUAL", "STATE", "ACTION"), NormalizationMode.IDENTITY)
    )

    @classmethod
    def of(cls, spec: DataSpec, embodiment: str, **options: Any) -> "UnifiedConfig":
        """The options that describe one body of a model that exists."""
        body = spec.embodiments[spec.index(embodiment)]
        picture = PolicyFeature(FeatureType.VISUAL, (3, *spec.image_size))
        return cls(
            image_size=spec.image_size[0],
            num_moments=spec.num_moments,
            action_horizon=spec.action_horizon,
            embodiment=embodiment,
            control_dt=body.control_dt,
            input_features={f"{IMAGES}{camera}": picture for camera in body.cameras}
            | {OBS_STATE: PolicyFeature(FeatureType.STATE, (body.proprio_dim,))},
            output_features={ACTION: PolicyFeature(FeatureType.ACTION, (body.action_dim,))},
            push_to_hub=False,
            **options,
        )

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names without "observation.images."."""
        return tuple(key.removeprefix(IMAGES) for key in self.image_features)

    def spec(self) -> DataSpec:
        """What the model needs to know of the data.

        Raises:
            UserError: if something that it needs is missing.
        """
        self.validate_features()
        action, proprio = self.action_feature, self.robot_state_feature
        assert action is not None
        assert proprio is not None
        if not (self.embodiment and self.control_dt):
            raise UserError("policy.embodiment and policy.control_dt must be given where no data set says them.")
        body = Embodiment(self.embodiment, action.shape[0], proprio.shape[0], self.cameras, self.control_dt)
        return DataSpec(
            (body,),
            self.cameras,
            (self.image_size, self.image_size),
            self.num_moments,
            self.frame_stride,
            self.action_horizon,
        )

    @property
    def observation_delta_indices(self) -> list[int]:
        """Env steps of the moments, the present first."""
        return [moment * self.frame_stride for moment in range(self.num_moments)]

    @property
    def action_delta_indices(self) -> list[int]:
        """All env steps between moments, and those of the last moment's plan."""
        return list(range((self.num_moments - 1) * self.frame_stride + self.action_horizon))

    @property
    def reward_delta_indices(self) -> None:
        """No rewards."""

    def get_optimizer_preset(self) -> MuonConfig:
        return MuonConfig(lr=self.lr, adamw_lr=self.adamw_lr)

    def get_scheduler_preset(self) -> FlatConfig:
        return FlatConfig(self.warmup_steps, self.flat)

    def validate_features(self) -> None:
        """Keep the pictures and `observation.state`; refuse data that lack them.

        Raises:
            UserError: naming what is missing.
        """
        features: Mapping[str, PolicyFeature] = self.input_features or {}
        self.input_features = {
            key: feature for key, feature in features.items() if feature.type is FeatureType.VISUAL or key == OBS_STATE
        }
        wrong = [key for key in self.image_features if not key.startswith(IMAGES)]
        if wrong:
            raise UserError(f"{wrong[0]} must be called {IMAGES}<camera>: --rename_map says a data set's names anew.")
        if not (self.image_features and self.robot_state_feature and self.action_feature):
            known = ", ".join([*features, *(self.output_features or {})])
            raise UserError(f"The policy needs {IMAGES}<camera>, {OBS_STATE} and {ACTION}; here are {known or 'none'}.")

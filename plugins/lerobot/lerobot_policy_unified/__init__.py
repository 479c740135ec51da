"""Unified for LeRobot: `--policy.type=unified` and `--env.type=unified`; imported when LeRobot starts."""

from lerobot_policy_unified.configuration_unified import UnifiedConfig
from lerobot_policy_unified.environment import UnifiedEnvConfig

__all__ = ["UnifiedConfig", "UnifiedEnvConfig"]

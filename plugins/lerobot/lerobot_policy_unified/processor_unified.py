"""What happens to observations before the policy and to actions after it: they are moved between devices."""

from typing import Any

from lerobot.processor import PolicyProcessorPipeline, make_default_pre_post_processors

from lerobot_policy_unified.configuration_unified import UnifiedConfig

Pipeline = PolicyProcessorPipeline[Any, Any]


def make_unified_pre_post_processors(config: UnifiedConfig, dataset_stats: Any = None) -> tuple[Pipeline, Pipeline]:
    """LeRobot's default steps; LeRobot finds this function by its name."""
    return make_default_pre_post_processors(config, dataset_stats, normalizer_device=config.device)

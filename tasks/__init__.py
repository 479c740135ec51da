"""What can be trained, one LightningModule a file."""

from tasks.arm_control import ArmControl
from tasks.codec import Codec
from tasks.driving import Driving
from tasks.video_generation import VideoGeneration
from tasks.world_action import WorldAction

__all__ = ["ArmControl", "Codec", "Driving", "VideoGeneration", "WorldAction"]

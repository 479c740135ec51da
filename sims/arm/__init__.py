"""One robot arm with its scenes, its kinematics and what its scripted experts share."""

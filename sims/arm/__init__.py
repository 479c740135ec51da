"""The robot arm that works screens, games and deformable things: its scene, its kinematics, what its experts share."""

"""What the ego senses: cameras, a LiDAR, depth and condition images."""

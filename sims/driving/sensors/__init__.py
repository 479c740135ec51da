"""What a vehicle senses: camera rigs, pictures, range images, condition images."""

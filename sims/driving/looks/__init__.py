"""What the driving world looks like: meshes, colours, weather, and the MuJoCo scene made of them."""

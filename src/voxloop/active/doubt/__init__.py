"""How unsure a model is: per voxel, per region, and as an order of regions."""

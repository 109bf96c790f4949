"""Images and label maps with their place in the world: voxels, millimetres, labels, boxes."""

"""From voxels to surfaces: all labels together, halfway between their voxels."""

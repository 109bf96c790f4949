"""Whether a surface is sound, and how true it is to its voxels."""

"""MONAI Label's protocol, so that unmodified 3D Slicer and OHIF plugins connect."""

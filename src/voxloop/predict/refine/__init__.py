"""From the network's grid to the scan's own: thin structures without the network's stairs."""

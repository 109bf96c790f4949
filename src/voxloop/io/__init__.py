"""Files of scans: read into volumes with every doubt raised, written atomically."""

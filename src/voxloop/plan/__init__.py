"""From a data set's fingerprint to a readable plan, and from scans to network input."""

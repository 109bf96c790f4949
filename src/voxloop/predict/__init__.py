"""From a scan to probabilities and a label map on the scan's own grid."""

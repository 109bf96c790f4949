"""Whether to go on: forecast, stopping, and whether the strategy pays here."""

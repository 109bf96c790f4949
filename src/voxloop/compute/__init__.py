"""Where work runs and what it may use: atomic files, memory ceilings, progress."""

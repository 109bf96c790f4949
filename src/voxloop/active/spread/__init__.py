"""How alike regions are, and choices that do not repeat themselves."""

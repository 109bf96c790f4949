"""Query strategies: given the pool and perhaps a model's predictions, which slices to ask for."""

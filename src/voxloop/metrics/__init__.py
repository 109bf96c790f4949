"""How well a prediction agrees with a reference, with intervals and stated conventions."""

"""What is done to a surface for the printer; every operation writes down what it altered."""

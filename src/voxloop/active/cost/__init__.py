"""What labelling takes: effort, prices, and budgets."""

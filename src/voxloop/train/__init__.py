"""Learning from whole, partial and mixed annotations within a time budget."""

"""Surfaces as files for printers and viewers, one writer per format."""

"""The command line: thin shells over the workspace's actions."""

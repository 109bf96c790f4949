"""Query packs: what is asked for as a folder of files, for any editor, and back."""

"""The annotation server: a page, an API, and what other programs' plugins speak."""

"""The built-in scorers, one a file; each is an entry point of the group ``xtf.attributes``."""

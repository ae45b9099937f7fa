"""The command line: ``cryoinv --help``."""

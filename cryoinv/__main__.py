"""``python -m cryoinv``."""

from cryoinv.cli.main import run

if __name__ == "__main__":
    run()

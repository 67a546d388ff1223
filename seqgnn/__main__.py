"""`python -m seqgnn`."""

from seqgnn.cli.main import run

if __name__ == "__main__":
    run()

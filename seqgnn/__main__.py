"""`python -m seqgnn`."""

from seqgnn.cli import main

if __name__ == "__main__":
    main()

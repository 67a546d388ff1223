"""`python -m seqgnn`."""

from seqgnn.cli.main import main

if __name__ == "__main__":
    main()

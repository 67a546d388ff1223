"""`python -m seqgnn.nn.scan.cpp` prints whether the compiled engine can be used."""

from seqgnn.nn.scan.cpp import library

if __name__ == "__main__":
    reason = library.load()[1]
    print(f"compiled engine: {f'not used, {reason}' if reason else f'{library.instruction_set()} instructions'}")

PYTHON ?= python3
BIN := .venv/bin

.PHONY: compare test thorough lint clean

compare: .venv/.ready
	$(BIN)/python -m seqgnn compare --out results

test: .venv/.ready
	$(BIN)/python -m mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "slow and not gpu and not traced" -n 2 --dist worksteal
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow and not gpu and not traced" -n 2 --dist worksteal --cov --cov-report=term --cov-fail-under=95
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "traced and not thorough and not gpu" -n 2 --dist worksteal tests/nn

thorough: .venv/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m thorough -n 2 --dist worksteal tests/nn

lint: .venv/.ready
	$(BIN)/python -m ruff check .

.venv/.ready: setup.py pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "seqgnn needs Python 3.11 or later")'
	@echo "Setting up $(CURDIR)/.venv, once: torch, PyTorch Geometric, scipy, matplotlib and the tools of the tests;"
	@echo "about 2.4 GB on disk with a CPU build of torch and several GB more with CUDA; 3 to 4 minutes plus the download,"
	@echo "without output until the end"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf .venv results

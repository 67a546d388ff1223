PYTHON ?= python3
BIN := .venv/bin

.PHONY: compare check test slow thorough sanitize lint clean

QUICK := tests/metrics tests/nn/conv tests/nn/recurrent/test_rnn_oracle.py tests/nn/recurrent/test_graph_rnn_oracle.py \
	tests/data/test_windows.py tests/tasks/test_recall.py tests/test_language.py tests/test_layers.py tests/test_golden.py

compare: .venv/.ready
	$(BIN)/python -m seqgnn compare --out results

# Two processes share the tests; torch uses one thread in each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

# What a change breaks most often, in about a minute: style, types, layers against their oracles, metrics, conventions.
check: lint
	$(BIN)/python -m mypy
	$(PYTEST) $(QUICK)

test: .venv/.ready
	@echo "1 of 2: types"
	$(BIN)/python -m mypy
	@echo "2 of 2: tests, up to 10 minutes on two cores"
	$(PYTEST) -m "not slow and not gpu and not traced"

slow: .venv/.ready
	@echo "1 of 2: torch.compile, torch.export and ONNX, about 3 minutes on two cores"
	$(PYTEST) -m "traced and not thorough and not gpu" tests/nn
	@echo "2 of 2: tests that train models or run whole scripts, about 10 minutes on two cores"
	$(PYTEST) -m "slow and not gpu and not traced"

thorough: .venv/.ready
	$(PYTEST) -m thorough tests/nn

# The tests of the compiled engine with a build that checks every access to memory and undefined behavior, g++ only.
SANITIZE := -g -fsanitize=address,undefined -fno-sanitize-recover=undefined
sanitize: .venv/.ready
	CFLAGS="$(SANITIZE)" LDFLAGS="-fsanitize=address,undefined" $(BIN)/python setup.py -q build_ext --inplace --force
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
		OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p no:cacheprovider tests/nn/scan/cpp
	$(BIN)/python setup.py -q build_ext --inplace --force

lint: .venv/.ready
	$(BIN)/python -m ruff check .

.venv/.ready: setup.py pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "seqgnn needs Python 3.11 or later")'
	@echo "Setting up $(CURDIR)/.venv, once: torch, PyTorch Geometric, scipy, matplotlib and the tools of the tests;"
	@echo "about 2.4 GB on disk with a CPU build of torch and several GB more with CUDA; 3 to 4 minutes plus the download,"
	@echo "without output until the end"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@$(BIN)/python -m seqgnn.nn.scan.cpp
	touch $@

clean:
	rm -rf .venv results

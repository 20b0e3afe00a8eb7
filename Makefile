# Every target sets up what it needs: a virtual environment in .venv with the versions of constraints.txt.
# Only Python 3.11 or newer and make have to be there: `make compare`.

PYTHON ?= python3
CASE ?= digits
OUT ?= build
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# The two frameworks and the built-in cases; and what tests and development need besides.
RUN_EXTRAS := torch,jax,vision,language
DEV_EXTRAS := $(RUN_EXTRAS),zoo,dev,onnx

.PHONY: compare test test-slow test-jax-oldest bench bench-check coverage coverage-jobs judge rounding op-db harnesses zoos lint format hooks clean

compare: .venv/.installed-run
	$(BIN)/regauge compare $(CASE) --quick --out $(OUT)
	@echo "report: $(OUT)/report.html"

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-slow: .venv/.installed-dev
	$(BIN)/python -m pytest -n 2 -m slow

bench: .venv/.installed-dev
	$(BIN)/python -m benchmarks

# Minutes long and 6 GiB: a BERT-base pair, checked.
bench-check: .venv/.installed-dev
	$(BIN)/python -m benchmarks.checking

# The whole check of every network; QUICK=--quick takes the quick one, RESUME=--resume goes on after a break.
coverage: .venv/.installed-dev
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m networks.coverage $(QUICK) $(RESUME)

# The main job with every network of JAX as the original, an hour and a half; RESUME=--resume goes on after a break.
coverage-jobs: .venv/.installed-dev
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m networks.jobs $(RESUME)

# Correct pairs and mutants of the judge of pairs, more than 25 minutes on 2 cores; RESUME=--resume goes on after a break.
judge: .venv/.installed-dev
	cd tests && ../$(BIN)/python -m judge.suite $(RESUME)

# The table of rounding in docs/equivalence.md, about 10 minutes.
rounding: .venv/.installed-dev
	cd tests && ../$(BIN)/python -m judge.rounding $(RESUME)

# PyTorch's own operator tests through to_jax: long with all samples; SAMPLES="--samples 8" takes some of each.
op-db: .venv/.installed-dev
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m opdb.suite $(SAMPLES) $(RESUME)

# JAX's own tests of its primitives through to_torch: over an hour; SAMPLES="--most 12" takes some of each group.
harnesses: .venv/.installed-dev
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m harnesses.suite $(SAMPLES) $(RESUME)

# The tests from JAX to PyTorch with the oldest JAX that is supported, in an environment of its own.
test-jax-oldest: .venv-jax-oldest/.installed
	PYTHONPATH=src:tests .venv-jax-oldest/bin/python -m pytest -n 2 tests/lax_rules tests/capture/test_jax_library.py \
	  tests/emit/test_to_torch_layers.py tests/emit/test_to_torch_golden.py tests/emit/test_to_torch_onnx.py \
	  tests/emit/test_to_torch_attention.py tests/emit/test_to_torch_diagonals.py tests/emit/test_to_torch_size_slices.py

.venv-jax-oldest/.installed: pyproject.toml constraints.txt
	test -x .venv-jax-oldest/bin/python || $(PYTHON) -m venv .venv-jax-oldest
	sed -E 's/^(jax|jaxlib)==.*/\1==0.10.0/' constraints.txt > .venv-jax-oldest/constraints.txt
	.venv-jax-oldest/bin/python -m pip install --quiet --constraint .venv-jax-oldest/constraints.txt torch
	.venv-jax-oldest/bin/python -m pip install --quiet --constraint .venv-jax-oldest/constraints.txt \
	  --editable '.[$(DEV_EXTRAS)]'
	touch $@

# Every model type of transformers that can be made small, and every family of timm; RESUME=--resume goes on after a break.
zoos: .venv/.installed-dev
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m zoos.suite $(RESUME)

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

hooks: .venv/.installed-dev
	$(BIN)/pre-commit install

clean:
	rm -rf build dist .mypy_cache .ruff_cache

# torch is installed by itself first: its build is chosen by the constraint alone, whatever the other packages ask.
.venv/.installed-run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "regauge needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) --editable '.[$(RUN_EXTRAS)]'
	touch $@

# timm asks for torchvision, which has no CPU build: its models need none of it (tests/zoos/stand_in.py), and what else
# it asks for is there.
.venv/.installed-dev: .venv/.installed-run
	$(PIP) --editable '.[$(DEV_EXTRAS)]'
	$(PIP) --no-deps timm
	touch $@

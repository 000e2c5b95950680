# make unlearn   the main job, in an environment made here
# make test      the quick tests, minutes; make test-all: all of them; make check: lint and types
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
# A worker for each core; those of one file share what they made. Beyond eight, memory is short.
# Files start in the order of tests/conftest.py.
WORKERS := --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# Tests start many processes, and each would compile all of mu again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install unlearn test test-all test-oldest notebooks check clean
.DEFAULT_GOAL := unlearn

install: $(STAMP)

# The pins are conda.yaml's: the environment is the same, whoever builds it.
$(STAMP): pyproject.toml conda.yaml
	$(PYTHON) -m venv $(VENV)
	sed -n 's/^ *- \([a-z].*==.*\)$$/\1/p' conda.yaml > $(VENV)/pins.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint $(VENV)/pins.txt --editable '.[dev]'
	touch $(STAMP)

# `mu doctor` creates the store once, under a lock, and closes runs that died.
unlearn: $(STAMP)
	$(BIN)/mu doctor
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mlflow run . -e unlearn --env-manager local \
	  -P oracle_run_id=train $(ARGS)

# Without real servers, launchers, notebooks, repeated kills, and long chains of runs.
test: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m 'not slow' $(ARGS)

# Everything, laws with all their examples; the rest alone: make test-all ARGS='-m slow'
test-all: $(STAMP)
	MU_LAWS=full $(BIN)/python -m pytest $(WORKERS) $(ARGS)

# The lower end of every bound in pyproject.toml, torch 2.11 and torchvision 0.26 among them.
test-oldest:
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=.venv-oldest .venv-oldest/bin/uv pip install --quiet \
	  --resolution lowest-direct --editable '.[dev]'
	PATH="$(CURDIR)/.venv-oldest/bin:$$PATH" .venv-oldest/bin/python -m pytest $(WORKERS) -W default::DeprecationWarning $(ARGS)

# Executed and stored with their outputs; some alone: make notebooks ARGS='masks your_own'
notebooks: $(STAMP)
	$(BIN)/python -m tests.notebooks $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .venv-oldest build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# make course, make test: each works on a fresh clone and makes .venv/ first if it is missing.
# Windows: the same commands stand in the README, with .venv\Scripts in the place of .venv/bin.

PYTHON ?= python3
JOBS ?= 2
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed
# Several processes share the cores: one thread each.
export OMP_NUM_THREADS ?= 1

.PHONY: env course test test-fast test-long lint format check clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing into .venv: a few minutes, the first time"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

course: env
	$(BIN)/course run --profile tiny

test: lint
	$(BIN)/pytest -n $(JOBS) --dist worksteal --nbmake --nbmake-timeout=900 notebooks tests $(ARGS)

test-fast: env
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow" tests $(ARGS)

# Every fault and interruption many times over, and the course on an object store; prints a table.
test-long: env
	$(BIN)/python -m tests.first.long $(ARGS)

lint: env
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	$(BIN)/codespell

format: env
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	$(BIN)/nbstripout --keep-id notebooks/*.ipynb

check: env
	$(BIN)/course check

clean:
	rm -rf data/zones data/cache reports/tiny .pytest_cache .ruff_cache .hypothesis

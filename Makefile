# make course, make test: each works on a fresh clone and makes .venv/ first if it is missing.
# Windows: the same commands stand in the README, with .venv\Scripts in the place of .venv/bin.

PYTHON ?= python3
# auto: the CPU build of torch unless there is an NVIDIA GPU. Or by hand: make env TORCH=cuda, TORCH=cpu
TORCH ?= auto
JOBS ?= 2
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed
# Several processes share the cores: one thread each.
export OMP_NUM_THREADS ?= 1

.PHONY: env course test test-fast test-long lint format check clean

env: $(STAMP)

ifneq ($(TORCH),auto)
ifneq ($(TORCH),$(shell cat .venv/.torch 2>/dev/null))
# another build of torch than the one that is there
.PHONY: $(STAMP)
endif
endif

$(STAMP): pyproject.toml constraints.txt tools/install.py
	@$(PYTHON) tools/install.py --torch $(TORCH) .venv
	@touch $@

course: env
	$(BIN)/course run --profile tiny --jobs $(JOBS)

# What a learner wrote in a notebook is run with it and fails nothing; its form is a matter of lint.
test: env
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not journey" --nbmake --nbmake-timeout=900 \
		notebooks tests $(ARGS)

test-fast: env
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow and not journey" tests $(ARGS)

# Every fault and interruption many times over, and the course on an object store; prints a table.
test-long: env
	$(BIN)/python -m tests.long $(ARGS)

# For whoever changes the course: the form of code and notebooks, as they are committed.
lint: env
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	$(BIN)/codespell

format: env
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	$(BIN)/nbstripout --keep-id notebooks/*.ipynb

check: env
	$(BIN)/course check

# What make course made, and what tools leave; runs of other names and their data stay.
clean:
	rm -rf data/zones/tiny reports/tiny
	if [ -d data/cache ]; then find data/cache -mindepth 1 -maxdepth 1 ! -name search_history -exec rm -rf {} +; fi
	rm -rf .pytest_cache .ruff_cache .hypothesis

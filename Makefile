# Two commands do everything on a fresh machine: `make demo` and `make test`. Both create .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 60
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PYTEST := $(BIN)/python -m pytest
SHARED_OUT := -n auto --maxprocesses 4

.PHONY: help demo test test-all test-packaging test-frameworks coverage check fix bench fuzz clean
help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.installed ## profile the Iris training before and after a change, and explain it
	$(BIN)/stallscope demo iris-mlp --quick

test: $(VENV)/.installed-dev ## run the tests, of each kind one script and one trace (under 5 minutes on 2 cores)
	$(PYTEST) $(SHARED_OUT) -m "not full and not packaging" $(ARGS)

test-all: $(VENV)/.installed-dev ## run all tests, with more examples where they are made up
	$(PYTEST) $(SHARED_OUT) --hypothesis-profile=thorough $(ARGS)

test-packaging: $(VENV)/.installed-dev ## the tests that build, install or clone this project (part of test-all)
	$(PYTEST) $(SHARED_OUT) -m packaging $(ARGS)

test-frameworks: $(VENV)/.installed-frameworks ## the tests that need Lightning, Transformers and Accelerate
	$(PYTEST) -m frameworks $(ARGS)

coverage: $(VENV)/.installed-dev ## what the tests of one process reach; fails below the floor in pyproject.toml
	$(PYTEST) $(SHARED_OUT) -m "not full and not slow and not packaging" --cov --cov-report=term:skip-covered $(ARGS)

check: $(VENV)/.installed-dev ## ruff, mypy strict, import-linter; no package is at odds with another
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PIP) check

fix: $(VENV)/.installed-dev ## what ruff can mend and format by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## run the benchmarks (ratios within one run)
	$(BIN)/python -m tests.evidence.benchmarks $(ARGS)

fuzz: $(VENV)/.installed-fuzz ## fuzz the scanner, the reader and the summary, FUZZ_SECONDS each (default 60; Linux)
	$(BIN)/python -m tests.evidence.fuzz scan --seconds $(FUZZ_SECONDS)
	$(BIN)/python -m tests.evidence.fuzz read --seconds $(FUZZ_SECONDS)
	$(BIN)/python -m tests.evidence.fuzz.structure --seconds $(FUZZ_SECONDS)

clean: ## remove the virtual environment and caches (run folders stay)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .fuzz build dist *.egg-info

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e ".[plot]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -c constraints.txt -e ".[dev]"
	touch $@

$(VENV)/.installed-fuzz: $(VENV)/.installed-dev
	$(PIP) install -c constraints.txt -e ".[fuzz]"
	touch $@

$(VENV)/.installed-frameworks: $(VENV)/.installed-dev
	$(PIP) install -c constraints.txt -e ".[frameworks]"
	touch $@

# Two commands do everything on a fresh machine: `make demo` and `make test`. Both create .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 60
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: help demo test test-frameworks check bench fuzz clean
help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.installed ## profile the Iris training before and after a change, and explain it
	$(BIN)/stallscope demo iris-mlp --quick

test: $(VENV)/.installed-dev ## run all tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

test-frameworks: $(VENV)/.installed-frameworks ## the tests that need Lightning, Transformers and Accelerate
	$(BIN)/python -m pytest -m frameworks $(ARGS)

check: $(VENV)/.installed-dev ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev ## run the benchmarks (ratios within one run)
	$(BIN)/python -m tests.evidence.benchmarks $(ARGS)

fuzz: $(VENV)/.installed-fuzz ## fuzz the scanner and the reader, FUZZ_SECONDS each (default 60; Linux)
	$(BIN)/python -m tests.evidence.fuzz scan --seconds $(FUZZ_SECONDS)
	$(BIN)/python -m tests.evidence.fuzz read --seconds $(FUZZ_SECONDS)

clean: ## remove the virtual environment and caches (run folders stay)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .fuzz build dist *.egg-info

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

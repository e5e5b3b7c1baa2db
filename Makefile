# Every command of the project. `make` alone lists them.
PYTHON ?= python3
LLM ?= echo
WORKERS ?= 4
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help setup demo test test-more soak lint typecheck format clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: .venv/ready ## create .venv with core, client, plugins and development tools

.venv/ready: pyproject.toml client/pyproject.toml $(wildcard plugins/*/pyproject.toml plugins/*/hatch_build.py) constraints.txt \
		plugins/airlock-local/src/airlock_local/sandbox/template.c
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Airlock needs Python 3.11 or later; choose one with: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt \
		--editable . --editable client $(patsubst %/pyproject.toml,--editable %,$(wildcard plugins/*/pyproject.toml)) --group dev
	@touch $@

demo: .venv/ready ## run the example in the sandbox; LLM=ask to answer its question yourself
	@mkdir -p .airlock
	$(BIN)/airlock run examples/quarterly_report.py --project python \
		--setting orders=@examples/orders.csv --memory .airlock/quarterly_report.json --llm $(LLM)

# Tests mostly wait, so they run in more processes than there are cores. Tests that measure time run alone.
test: .venv/ready ## run all tests, with small counts; WORKERS=1 runs them one after the other
	@$(BIN)/python -m pytest -m "timed and not more"; timed=$$?; \
	$(BIN)/python -m pytest -m "not timed and not more" -n $(WORKERS) --dist loadgroup && exit $$timed

test-more: .venv/ready ## run the tests that need more: packages, and cgroup version 2, in a kernel of its own
	$(BIN)/python -m pytest -m more
	.ci/cgroup2

soak: ## run all tests, with the large counts that the issues name
	AIRLOCK_TEST_SOAK=1 $(MAKE) test

lint: .venv/ready ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: .venv/ready ## check types
	$(BIN)/mypy

format: .venv/ready ## fix style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Every command of the project. `make` alone lists them.
PYTHON ?= python3
LLM ?= echo
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help setup demo test soak lint typecheck format clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

setup: .venv/ready ## make .venv with core, client, plugins and development tools

.venv/ready: pyproject.toml client/pyproject.toml $(wildcard plugins/*/pyproject.toml) constraints.txt
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

test: .venv/ready ## run every test, in small counts
	$(BIN)/python -m pytest

soak: .venv/ready ## run the tests in the counts that the issues name
	AIRLOCK_TEST_SOAK=1 $(BIN)/python -m pytest

lint: .venv/ready ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: .venv/ready ## check types
	$(BIN)/mypy

format: .venv/ready ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what was built
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

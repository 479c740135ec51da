# Everything here does its own set-up: a fresh clone needs nothing but this file, a POSIX shell and a Python 3.12.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format requirements wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

setup: ## make .venv with the pinned packages
	@sh scripts/bootstrap.sh runtime

demo: setup ## record, train, act, imagine: one report, about ten minutes on a CPU
	@.venv/bin/unified demo $(ARGS)

test: ## lint, types and tests; FAST=1 leaves out the slow tests, ARGS="..." goes to pytest
	@sh scripts/bootstrap.sh dev
	@FAST='$(FAST)' sh scripts/test.sh $(ARGS)

lint: ## ruff and pyright
	@sh scripts/bootstrap.sh dev
	@sh scripts/lint.sh

format: ## put every file into the project's format
	@sh scripts/bootstrap.sh dev
	@.venv/bin/ruff check --quiet --fix . && .venv/bin/ruff format .

requirements: ## compile the pins from pyproject.toml; UPGRADE=1 takes newer versions
	@sh scripts/bootstrap.sh dev
	@UPGRADE='$(UPGRADE)' sh scripts/requirements.sh

wheel: ## build the wheel into dist/
	@sh scripts/bootstrap.sh dev
	@.venv/bin/python -m build --wheel --no-isolation

clean: ## remove the environment, caches and build outputs; recordings and runs stay
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis *.egg-info
	find unified decoders tasks sims tests -name __pycache__ -type d -prune -exec rm -rf {} +

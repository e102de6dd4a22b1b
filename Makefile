# Everything needs only Python 3.11 or later and make; the rest is set up on the way. `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help demo check lint test test-quick bench soak clean
BIN := .venv/bin
CODE := rollsafe tests benchmarks scripts/reference

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## a complete cluster on this machine, and a rolling restart of it under load
	@scripts/set-up-venv demo
	@$(BIN)/rollsafe demo

check: lint test-quick ## ruff, mypy, import rules, and the tests that need no other programs

lint:
	@scripts/set-up-venv dev
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test-quick:
	@scripts/set-up-venv dev
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not real and not soak"

test: ## all tests, on real HAProxy, Apache, OpenSSH and Chromium
	@scripts/set-up-venv dev
	@scripts/set-up-programs
	$(BIN)/pytest -q -n 5 --dist worksteal -m "not soak"

bench: ## what rollsafe costs, as ratios to a baseline of the same run
	@scripts/set-up-venv dev
	@scripts/set-up-programs
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.rolling
	$(BIN)/python -m benchmarks.probes

soak: ## the long tests: hours of simulated windows, and a booted systemd where the machine can do that
	@scripts/set-up-venv dev
	@scripts/set-up-programs soak
	$(BIN)/pytest -q -m soak --timeout 14400

clean: ## remove all that the other targets made
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

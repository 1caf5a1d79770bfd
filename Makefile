# The two commands: `make run` and `make test`. Both set up what they need first.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup run test quick check audit format bench lock clean

setup: .venv/ready
	@$(BIN)/python scripts/build_explorer.py

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "This Python cannot make environments; on Debian: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: setup
	@$(BIN)/ml-registry serve

test: setup
	$(BIN)/python -m pytest -n 3 --dist worksteal

quick: setup
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow"

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_schema.py $(wildcard ../shared/contract.graphql)

# Compares the lock with the published advisories, and fails where they are out of reach.
audit: setup
	$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python bench/commits.py
	$(BIN)/python bench/reads.py
	$(BIN)/python bench/search.py
	$(BIN)/python bench/fanout.py
	$(BIN)/python bench/remote.py
	$(BIN)/python bench/plans.py

lock:
	$(PYTHON) scripts/lock.py

clean:
	rm -rf .venv app/explorer web/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

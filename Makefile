# What a fresh clone needs: make, git, and Python 3.11 or newer. Everything else goes into .venv.

# Which Python makes .venv; by default the first of python3, python3.11 … python3.14 that can.
PYTHON ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo serve serve-celery rehearse test test-long test-matrix faults faults-airflow fuzz bench docs site ui lint format

# A shell that forbids bytecode would make every Airflow process start at half the speed.
unexport PYTHONDONTWRITEBYTECODE

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

setup:  ## make .venv, or bring it up to date (the others do this by themselves)
	@scripts/make-venv.sh .venv constraints.txt "$(PYTHON)" local,dev,page,docs

demo: setup  ## the main job on real servers, from CRM rows to reconciled receipts
	@.venv/bin/python -m demo

serve: setup  ## to play with: the same, more days, and it stays (PORT=8080)
	@.venv/bin/python -m demo --serve $(if $(PORT),--port $(PORT))

serve-celery: setup  ## docker-compose.yaml without containers: Celery, two workers (PORT=8080)
	@.venv/bin/python -m demo.celery $(if $(PORT),--port $(PORT))

rehearse: setup  ## an account by SFTP and PGP and a mailbox by OAuth, simulated, for your own Airflow
	@.venv/bin/python -m demo.rehearse

# What to look at when tests take too long.
LONGEST := --durations=12 --durations-min=10

test: setup  ## all tests on this Python and the newest Airflow
	@.venv/bin/python -m pytest $(LONGEST) -n 3 -m "not slow"
	@.venv/bin/python -m pytest $(LONGEST) -n 2 --dist loadfile -m "slow and not long"

test-long: setup  ## what takes many minutes: ten days backfilled, more faults, all examples of properties
	@.venv/bin/python -m pytest -m long
	@AM_EXAMPLES=1 .venv/bin/python -m pytest -n 2 -m "not slow" tests/audience_manager tests/outbound tests/sandbox tests/snapshots

test-matrix: setup  ## the fast tests on every supported Airflow and every Python found
	@scripts/test-matrix.sh full

faults: setup  ## seeded schedules of faults on real servers (N=, SEED=, AT_ONCE=, LOADED=1)
	@.venv/bin/python -m tests.faults $(if $(N),-n $(N)) $(if $(SEED),--seed $(SEED)) \
		$(if $(AT_ONCE),--at-once $(AT_ONCE)) $(if $(LOADED),--loaded)

faults-airflow: setup  ## a whole Airflow whose processes are killed at drawn moments (N=, SEED=)
	@.venv/bin/python -m tests.faults.in_airflow $(if $(N),-n $(N)) $(if $(SEED),--seed $(SEED))

fuzz: setup  ## hostile names, lines, mails and listings (N=, SEED=)
	@.venv/bin/python -m tests.fuzz $(if $(N),-n $(N)) $(if $(SEED),--seed $(SEED))

# Seconds mean something on a machine that does nothing else.
bench:  ## speed and memory beside what else could do the work (ROWS=, REPEATS=, ONLY="parquet growth")
	@scripts/make-venv.sh .venvs/bench constraints.txt "$(PYTHON)" local,dev,bench
	@.venvs/bench/bin/python -m benchmarks $(if $(ROWS),--rows $(ROWS)) \
		$(if $(REPEATS),--repeats $(REPEATS)) $(if $(ONLY),--only $(ONLY))

docs: setup  ## write the tables of parameters and options from the code
	@.venv/bin/python scripts/reference.py

site: setup  ## the documentation as a site, in site/ (SITE=); any warning fails it
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --quiet --site-dir $(abspath $(or $(SITE),site))

ui: setup  ## build the page in Airflow's UI from ui/, which needs an npm registry
	@scripts/ui.sh

lint: setup  ## style, types and the import contract
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports

format: setup  ## bring the code into the project's style
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

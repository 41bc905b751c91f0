# Everything happens in .venv; `make run` and `make test` create it on a fresh machine.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# make: the stamp is renewed when what is installed changes.
STAMP := $(VENV)/installed

.PHONY: run test test-faults lint bench clean

$(STAMP): pyproject.toml constraints.txt
	@echo "creating the environment in $(VENV) (a few minutes the first time)"
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,s3]'
	@touch $(STAMP)

run: $(STAMP)
	@$(BIN)/otce run examples/demo.yaml

test: $(STAMP) lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/otce otce
	$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/examples tests/faults tests/flows tests/infra tests/tasks

# The long fault tests: kills of every part, a store that fails, a cluster that loses a node. One
# after the other: Ray's own class for a cluster that grows stops every Ray of the machine.
test-faults: $(STAMP)
	$(BIN)/python -m pytest -q -m nightly tests

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python benchmarks/extraction.py
	$(BIN)/python benchmarks/rerun.py
	$(BIN)/python benchmarks/census.py
	$(BIN)/python benchmarks/transport.py
	$(BIN)/python benchmarks/pair.py
	$(BIN)/python benchmarks/growth.py growth --plot docs/transport-growth.png
	$(BIN)/python benchmarks/growth.py drift
	$(BIN)/python benchmarks/growth.py threads
	$(BIN)/python benchmarks/growth.py relaxed
	$(BIN)/python benchmarks/coverage.py images --repeats 240 --plot docs/coverage.png
	$(BIN)/python benchmarks/coverage.py pixels
	$(BIN)/python benchmarks/signatures.py
	$(BIN)/python benchmarks/images_per_second.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/metrics.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/all_metrics.py --draws 5
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/all_metrics.py pair
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/all_pixels.py
	$(BIN)/python benchmarks/race.py
	$(BIN)/python benchmarks/race.py --models 500 --simulate
	$(BIN)/python benchmarks/study.py
	$(BIN)/python benchmarks/evidence.py
	$(BIN)/python benchmarks/cluster.py workers
	$(BIN)/python benchmarks/cluster.py zoo

clean:
	rm -rf $(VENV) otce-store .mypy_cache .ruff_cache .pytest_cache .hypothesis

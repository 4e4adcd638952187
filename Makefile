# Two commands do all on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all check bench clean

demo: .venv/installed
	$(BIN)/lingarith demo

# Models of the tests are too small for more than one thread, which only wait for each other.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q

test-all: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "slow or not slow"

check: .venv/installed
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy

# study.py starts its peer, python benchmarks/plain_script.py, by itself.
bench: .venv/installed
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/together.py --only newsroom
	$(BIN)/python benchmarks/adapters.py
	$(BIN)/python benchmarks/compose.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/grid.py --examples 32
	$(BIN)/python benchmarks/compiled.py --only newsroom
	$(BIN)/python benchmarks/runners.py
	$(BIN)/python benchmarks/study.py --targets pt --steps 30
	$(if $(RUN),$(BIN)/python benchmarks/search.py --run $(RUN))

clean:
	rm -rf .venv

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

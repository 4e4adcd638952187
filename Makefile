# Two commands do all on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
NUMBERS := numbers

.PHONY: demo test test-all attack check bench clean

demo: .venv/installed
	$(BIN)/lingarith demo

# Models of the tests are too small for more than one thread, which only wait for each other; two processes do not.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

test-all: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "slow or not slow"

# Files of every kind, changed at random; LINGARITH_ATTACK says how often, LINGARITH_ATTACK_SEED from which seed.
attack: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rP -m attack tests/attack

check: .venv/installed
	$(BIN)/ruff format --check src tools tests benchmarks
	$(BIN)/ruff check src tools tests benchmarks
	$(BIN)/mypy

# study.py starts its peer, python benchmarks/plain_script.py, by itself.
bench: .venv/installed
	mkdir -p $(NUMBERS)
	$(BIN)/python benchmarks/train_step.py --out $(NUMBERS)/train_step.json
	$(BIN)/python benchmarks/together.py --only newsroom --out $(NUMBERS)/together.json
	$(BIN)/python benchmarks/adapters.py --out $(NUMBERS)/adapters.json
	$(BIN)/python benchmarks/compose.py --out $(NUMBERS)/compose.json
	$(BIN)/python benchmarks/generation.py --out $(NUMBERS)/generation.json
	$(BIN)/python benchmarks/grid.py --examples 32 --out $(NUMBERS)/grid.json
	$(BIN)/python benchmarks/compiled.py --only newsroom --out $(NUMBERS)/compiled.json
	$(BIN)/python benchmarks/runners.py --out $(NUMBERS)/runners.json
	$(BIN)/python benchmarks/study.py --targets pt --steps 30 --out $(NUMBERS)/study.json
	$(if $(RUN),$(BIN)/python benchmarks/search.py --run $(RUN) --out $(NUMBERS)/search.json)

clean:
	rm -rf .venv

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

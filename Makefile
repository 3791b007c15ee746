# The tasks of the project. `make quickstart` and `make test` are all that a newcomer needs.

# Tests of crashes start a process many times; memory is kinder to them than a disk.
ifneq ($(wildcard /dev/shm/.),)
test: export TMPDIR ?= /dev/shm
endif

.PHONY: help quickstart quickstart-short setup build test test-interop bench bench-scale goldens \
  fuzz soak install docs format lint check clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 18

quickstart: ## install, build, fetch a base model, fine-tune it, show what it learned
	@Scripts/quickstart.sh

quickstart-short: ## the same in a few steps, kept nowhere
	@Scripts/quickstart.sh --short

setup: ## install with apt what building needs
	@Scripts/setup.sh build

build: setup ## build the qlora command into .build/release
	swift build -c release --product qlora

# Release, because a debug build of the reference arithmetic takes many times longer. Without
# testable imports the modules are those of `make build`, and are not compiled twice.
test: setup ## build and run all tests
	swift test -c release --disable-testable-imports

test-interop: build ## compare with PyTorch, transformers, PEFT and bitsandbytes
	Scripts/interop/run.sh

bench: setup ## a training step beside PyTorch's where that is installed; BENCH=--record keeps it
	Scripts/bench/run.sh step $(BENCH)

bench-scale: setup ## the cost of a step by tokens, sequence length and model shape
	Scripts/bench/run.sh scale $(BENCH)

goldens: ## make Tests/Goldens again with the reference libraries
	Scripts/goldens/run.sh

fuzz: setup ## half a minute of hostile files for each reader; FUZZ_RUNS, FUZZ_JOBS, see the script
	Scripts/soak/fuzz.sh 30

soak: setup ## what takes too long for every change: fuzzing, kills, races, sanitizers, valgrind
	Scripts/soak/run.sh

install: build ## copy qlora, its recipes, manual pages and completions below PREFIX (~/.local)
	@Scripts/install.sh

docs: setup ## make the reference of the Swift library in .build/docs
	swift build -c release
	Scripts/docs.sh

format: ## rewrite the Swift sources in the house style
	swift format --in-place --recursive --parallel Package.swift Sources Tests

lint: ## check the form of Swift, shell and Python sources
	Scripts/lint.sh

# The tests come last, so that their closing lines do. What is tested is what was built.
check: ## what continuous integration runs
	Scripts/setup.sh
	Scripts/lint.sh
	swift build -c release
	Scripts/docs.sh
	Scripts/fetch-smollm2.sh
	Scripts/quickstart.sh --short
	FUZZ_JOBS=2 Scripts/soak/fuzz.sh 30
	$(MAKE) test

clean: ## remove what was built; models and runs stay
	swift package clean
	rm -rf .build .build-fuzz .build-tsan

# `make run` is all that a fresh machine with Rust and Python 3 needs; `make help` lists the rest.

MODEL := models/SmolLM2-135M-Instruct.Q4_1.gguf
MESSAGES := $(abspath $(or $(CARGO_TARGET_DIR),target)/messages)
BUILT := $(or $(CARGO_TARGET_DIR),target)/release

.DEFAULT_GOAL := help
# Seconds that `make fuzz` runs each of its targets.
SECONDS ?= 60

.PHONY: help run install messages model needs test check fmt lint doc lean fuzz-build audit openapi ui ui-check ui-test ui-lighthouse demo clients clients-check clients-restarts openai-clients integrations bench storm soak attack mutants simulate fuzz image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

run: needs model ## build and serve on 127.0.0.1:8080 (EXTRACTD_LISTEN); installs what is missing
	cargo run --release --locked

install: needs model ## put extractd into Cargo's folder of programs, with the built-in model
	cargo install --path . --locked
	install -D -m 644 $(MODEL) "$${CARGO_HOME:-$$HOME/.cargo}/share/extractd/$(MODEL)"
	@echo "extractd is installed; 'extractd completions SHELL' and 'extractd man' print completions and manual pages"

messages: needs ## print what extractd says about several hundred mistakes in requests, configurations, commands and files
	@rm -rf $(MESSAGES)
	@EXTRACTD_MESSAGES=$(MESSAGES) cargo test --quiet --locked --test it -- messages:: >&2
	@cat $(MESSAGES)/*.md

model: ## download the built-in model (98 MB) if it is missing
	@sh scripts/model.sh $(MODEL)

needs: ## install the build dependencies that are missing
	@sh scripts/needs.sh

test: export EXTRACTD_MODEL_PATH := $(CURDIR)/$(MODEL)
# A change must not fail by a case that is drawn by chance; a bare `cargo test` draws new ones each time.
test: export PROPTEST_RNG_SEED ?= 1
test: needs model ## run all tests; they use loopback addresses only
	cargo test --workspace --locked

check: fmt-check test lint doc lean fuzz-build ## everything that a change has to pass; CI runs this

.PHONY: fmt-check
fmt-check:
	cargo fmt --all --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml

lint: needs ## run clippy with warnings as errors
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc: needs ## build the documentation with warnings as errors
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked

lean: ## type-check the build without the built-in model
	cargo check --no-default-features --locked

fuzz-build: ## type-check the fuzz targets, with what the other checks have compiled
	cargo check --manifest-path fuzz/Cargo.toml --locked --target-dir $(or $(CARGO_TARGET_DIR),target)

audit: ## check licences, sources and known vulnerabilities of the dependencies (installs cargo-deny)
	@sh scripts/audit.sh

fmt: ## format the code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

openapi: needs ## regenerate openapi/openapi.json from the code, and the clients' types from it (with Node and Python)
	document=$$(cargo run --quiet --locked -- openapi) && printf '%s\n' "$$document" > openapi/openapi.json
	if command -v npm >/dev/null 2>&1; then bash scripts/clients.sh types; else echo "clients/ keeps its types: npm is missing" >&2; fi

ui: ## build the page into ui/dist; installs its packages
	@sh scripts/ui-needs.sh build
	cd ui && npm run --silent build

ui-check: ## rebuild the page and compare it with the committed ui/dist
	@sh scripts/ui-check.sh

ui-test: needs ## walk through the page in a real Chromium; screenshots in ui/test/artifacts (UI_ARTIFACTS)
	@sh scripts/ui-needs.sh
	cargo build --locked --bin extractd
	cargo build --locked -p upstream-sim
	cd ui && npm test --silent

ui-lighthouse: needs ## run Lighthouse on each view; fails below 95 (installs it in target/lighthouse)
	@sh scripts/ui-needs.sh
	cargo build --locked --bin extractd
	cargo build --locked -p upstream-sim
	npm install --silent --no-audit --no-fund --prefix target/lighthouse lighthouse@12.8.2
	node ui/test/lighthouse.mjs target/lighthouse

demo: needs model ## run seven people through the service in five ways, timed (EXTRACTD_URL: a running service)
	cargo build --release --locked
	cargo build --release --locked -p upstream-sim
	python3 examples/demo.py --extractd $(BUILT)/extractd --upstream $(BUILT)/upstream-sim --model $(MODEL)

clients: needs ## build the Python wheel and the npm package, and test both against the server
	cargo build --locked --workspace --bins
	bash scripts/clients.sh build

clients-check: needs ## validate the API document, generate three clients, and run schemathesis over all operations
	cargo build --locked --workspace --bins
	bash scripts/clients.sh check

clients-restarts: needs ## follow a job with each client library while the server is killed three times; ITEMS=10000
	cargo build --locked --workspace --bins
	ITEMS=$(or $(ITEMS),10000) bash scripts/clients.sh restarts

integrations: ## run clients-check, clients, ui-check and ui-test after `make test`; leaves out what has no tool (EXTRACTD_CI=1: fails)
	@bash scripts/integrations.sh

openai-clients: needs ## run the packages of OpenAI, Instructor, LangChain, pydantic-ai, LlamaIndex and Vercel against the server
	cargo build --locked --bin extractd
	bash scripts/openai-clients.sh

bench: needs ## measure what the service adds to the calls it makes, against a simulated provider; check the bounds of evidence
	cargo bench --locked --bench load
	cargo bench --locked -p evidence --bench bounds

storm: needs ## run a batch through limits, 429 responses and faults; five minutes
	cargo bench --locked --bench load -- --part storm

soak: needs ## kill a running job 200 times, run an hour of load, check five minutes of history; SOAK_SECONDS=3600, HISTORY_SECONDS=300, HISTORY_SEED=a random one
	SOAK_KILLS=200 SOAK_ITEMS=5000 SOAK_SECONDS=$(or $(SOAK_SECONDS),3600) cargo test --release --locked --no-default-features --test it -- jobs:: --nocapture
	HISTORY_SECONDS=$(or $(HISTORY_SECONDS),300) HISTORY_SEED=$(or $(HISTORY_SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')) \
		cargo test --release --locked --no-default-features --test history -- --nocapture

attack: needs ## run forty callers beside ten attackers; ATTACK_SECONDS=60, ATTACK_OPTIONS (see scripts/attack.py --help)
	cargo build --release --locked
	cargo build --release --locked -p upstream-sim
	python3 scripts/attack.py --extractd $(BUILT)/extractd --upstream $(BUILT)/upstream-sim --seconds $(or $(ATTACK_SECONDS),60) $(ATTACK_OPTIONS)

mutants: needs ## run cargo-mutants on MUTANTS="throttle llm-json bounded-cel jobs", part SHARD=0/1; installs it
	command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants
	mkdir -p target/mutants
	set -f; status=0; for part in $(or $(MUTANTS),throttle llm-json bounded-cel jobs); do \
		case $$part in jobs) options="-p extractd --file src/jobs/** --no-default-features"; tests="-- --lib jobs::";; *) options="-p $$part"; tests=;; esac; \
		cargo mutants $$options --shard $(or $(SHARD),0/1) --sharding round-robin --timeout 120 --output target/mutants/$$part $$tests || status=1; \
	done; exit $$status

simulate: ## simulate limits and job states, every invariant checked after each step; SIMULATION_STEPS=5000000, SIMULATION_SEED=a random one
	SIMULATION_STEPS=$(or $(SIMULATION_STEPS),5000000) SIMULATION_SEED=$(or $(SIMULATION_SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')) \
		cargo test --locked --no-default-features -p throttle -p extractd --lib -- simulation --nocapture

fuzz: ## run each fuzz target for SECONDS=60; installs nightly Rust and cargo-fuzz
	@sh scripts/fuzz.sh $(SECONDS)

image: ## build the container image
	docker build -t extractd .

clean: ## remove what was built; the model stays
	cargo clean

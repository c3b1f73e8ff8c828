# The recipes are the steps of .ci/run. `just` lists them.

default:
    @just --list

# The main job, by hand
demo:
    cargo run -- demo "Write a story about two cats that go on an adventure:"

# A server that answers from the emulator
serve:
    cargo run -- serve --local

fmt:
    cargo fmt --all --check

lint:
    cargo clippy --workspace --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

test:
    cargo test --workspace

# Builds the page and tries it in a browser
page:
    npm --prefix web ci
    npm --prefix web run check
    npm --prefix web test

# Builds the documents as a web site, into target/site, and checks every link
site:
    npm --prefix docs/site ci
    npm --prefix docs/site test
    npm --prefix docs/site run build

# Instructions and allocations of the path of a call, against those that are committed
instructions:
    .ci/instructions

# How long the path of a call takes, how soon Bedrock sees that a caller has left, and what callers and streams cost
bench:
    cargo bench --features microbenchmarks --bench microbenchmarks
    cargo bench --bench cancellation
    cargo bench --bench identity
    cargo bench --bench quota
    cargo bench --bench telemetry
    cargo build --release -p outcrop -p outcrop-bench
    target/release/outcrop-bench front
    target/release/outcrop-bench generate
    target/release/outcrop-bench features

# What is deployed: the production build, the chart, the compose file, the unit
deploy:
    bash .ci/deploy

# Archive and SBOM of a release, into dist/
release:
    bash packaging/release

# The server with profile-guided optimization, into target/profiled
profiled:
    packaging/profiled

# Everything that CI runs
ci:
    bash .ci/run

# Everything is done by one of these targets; each does its own set-up. Needs Go, git, a C compiler (for the race
# detector) and, for the tests with AWS's clients, Python 3 with venv and Node.js with npm, and for those with Kafka, Java
# and Maven.

SHELL       := /bin/sh
.DEFAULT_GOAL := help

TOOLS       := $(CURDIR)/.tools
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME    ?= 20s
TESTFLAGS   ?=
POINTS      ?= 100000
DEMO        ?= --records 500000

# Packages whose tests take longest begin first, so that all cores are busy to the end.
LONGEST     := ./test/e2e ./shard/journal ./shard/kafka ./shard/kafka/kafkatest

# Pinned: a new version is a change like any other.
MINIO_VERSION         := v0.0.0-20260212201848-7aac2a2c5b7c
GOLANGCI_LINT_VERSION := v2.15.0
KAFKA_VERSION         := 4.1.0
MAVEN_COPY            := mvn --batch-mode --quiet -Dmaven.wagon.http.retryHandler.count=5 \
	org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime
JAVA_LEAST            := 17
NODE_LEAST            := 20
JAVA_SDK_VERSION      := 2.57.8

# The version of the Java that is there, or 0.
JAVA_FOUND  := java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | grep . || echo 0

# A stamp's name carries the version, so that a new one installs and an old one costs nothing.
MINIO       := $(TOOLS)/stamps/minio-$(MINIO_VERSION)
LINT        := $(TOOLS)/stamps/golangci-lint-$(GOLANGCI_LINT_VERSION)
VENV        := $(TOOLS)/stamps/venv
KAFKA       := $(TOOLS)/stamps/kafka-$(KAFKA_VERSION)
JAVASCRIPT  := $(TOOLS)/stamps/javascript
JAVA_SDK    := $(TOOLS)/stamps/java-$(JAVA_SDK_VERSION)
JAVA_CLIENT := $(wildcard test/e2e/clients/java/sluice/*.java)

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## compile bin/sluice
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/sluice ./cmd/sluice

.PHONY: demo
demo: build ## play a clickstream through a stream into objects (DEMO="--input FILE" and other flags)
	bin/sluice demo $(DEMO)

.PHONY: test
test: export SLUICE_TEST_MINIO := $(TOOLS)/bin/minio
test: export SLUICE_TEST_VENV  := $(TOOLS)/venv
test: export SLUICE_TEST_KAFKA := $(TOOLS)/kafka
test: ## install what the tests need, vet, lint, run all tests with the race detector
	$(MAKE) -j 2 tools
	go vet ./...
	$(TOOLS)/bin/golangci-lint run
	go test -race -timeout 60m $(TESTFLAGS) $(LONGEST) $$(go list ./... | grep -vE '$(subst $() ,|,$(LONGEST:.%=%$$))')

.PHONY: tools
tools: $(MINIO) $(KAFKA) $(JAVA_SDK) $(VENV) $(JAVASCRIPT) chromium $(LINT) ## install MinIO, Kafka, golangci-lint and AWS's clients under .tools

# The browser is the system's. Only root on a Debian can be given it; CI=true makes the test fail without.
.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			{ apt-get install -q -y --no-install-recommends chromium || \
				{ apt-get update -q && apt-get install -q -y --no-install-recommends chromium; }; } >/dev/null; \
		fi; \
		command -v chromium >/dev/null || \
			echo "NOT TESTED: the page of docs/http-ingestion.md, which needs a browser (Debian: apt-get install chromium)."; \
	}

.PHONY: lint
lint: $(LINT) ## run the linters, which also keep the layers apart
	$(TOOLS)/bin/golangci-lint run

.PHONY: fuzz
fuzz: ## fuzz every decoder for FUZZTIME each (20s)
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x $$package; \
		done; \
	done

.PHONY: campaign
campaign: ## crash the log engine at POINTS calls of the file system (100,000: some minutes), from a new seed
	go test ./shard/journal -run SurvivesACrashAtAnyCall -count 1 -timeout 2h -campaign.points $(POINTS) -campaign.seed 0

.PHONY: nightly
nightly: tools ## the long forms of the campaigns, some hours; docs/durability.md tells what they are
	$(MAKE) campaign
	go test ./shard/journal -run 'TestDamageIs|TestRepair|TestARepair|TestWhenACall' -count 1 -timeout 3h -damage.all
	go test ./test/e2e -run KillNine -count 1 -timeout 2h -kills 200
	go test ./test/e2e -run 'PowerFails|LyingDisk' -count 1 -timeout 2h -losses 100

.PHONY: bench
bench: ## run the Go benchmarks
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: clean
clean: ## remove what was built, the tools included; data is left alone
	rm -rf bin $(TOOLS)

$(MINIO):
	@mkdir -p $(TOOLS)/bin $(TOOLS)/stamps
	GOBIN=$(TOOLS)/bin go install github.com/minio/minio@$(MINIO_VERSION)
	@rm -f $(TOOLS)/stamps/minio-* && touch $@

$(LINT):
	@mkdir -p $(TOOLS)/bin $(TOOLS)/stamps
	GOBIN=$(TOOLS)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@rm -f $(TOOLS)/stamps/golangci-lint-* && touch $@

$(VENV): test/requirements.txt
	@mkdir -p $(TOOLS)/stamps
	@python3 -m venv --clear $(TOOLS)/venv || \
		{ echo "The tests drive the AWS CLI and boto3: install Python 3 with its venv module."; exit 1; }
	$(TOOLS)/venv/bin/pip install --quiet --disable-pip-version-check -r test/requirements.txt
	@touch $@

# Java runs the brokers, so its age is looked at here and not when a test fails.
$(KAFKA):
	@mkdir -p $(TOOLS)/stamps
	@version=$$($(JAVA_FOUND)); \
	if [ "$$version" -lt $(JAVA_LEAST) ]; then \
		echo "The tests run Kafka brokers: install Java $(JAVA_LEAST) or later (a JRE will do); found: $$version."; exit 1; \
	fi
	@command -v mvn >/dev/null || \
		{ echo "The tests run Kafka brokers, whose jars come by Maven: install it (mvn)."; exit 1; }
	@rm -rf $(TOOLS)/kafka
	$(MAVEN_COPY) -f test/kafka/pom.xml -Dkafka.version=$(KAFKA_VERSION) -DoutputDirectory=$(TOOLS)/kafka
	@rm -f $(TOOLS)/stamps/kafka-* && touch $@

# After the brokers' jars: two Mavens at once would write the same files of their repository. Without a JDK or Maven the
# tests with Java's clients are skipped, or fail with CI=true; those with brokers have said what they need.
$(JAVA_SDK): $(JAVA_CLIENT) test/e2e/clients/java/pom.xml | $(KAFKA)
	@version=$$($(JAVA_FOUND)); \
	if [ "$$version" -lt $(JAVA_LEAST) ] || ! command -v javac >/dev/null; then \
		echo "NOT TESTED: the AWS SDK for Java. Install a JDK $(JAVA_LEAST) or later; found: java $$version, javac $$(command -v javac || echo none)."; \
		[ "$$CI" != true ]; exit; \
	fi; \
	set -ex; rm -rf $(TOOLS)/java; \
	$(MAVEN_COPY) -f test/e2e/clients/java/pom.xml -Dsdk.version=$(JAVA_SDK_VERSION) -DoutputDirectory=$(TOOLS)/java/lib; \
	javac --release $(JAVA_LEAST) -Xlint:all -Werror -d $(TOOLS)/java/classes -cp '$(TOOLS)/java/lib/*' $(JAVA_CLIENT); \
	rm -f $(TOOLS)/stamps/java-*; touch $@

# Without Node.js the tests with it are skipped, or fail with CI=true.
$(JAVASCRIPT): test/e2e/clients/javascript/package-lock.json
	@mkdir -p $(TOOLS)/stamps
	@version=$$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p'); \
	if [ "$${version:-0}" -lt $(NODE_LEAST) ] || ! command -v npm >/dev/null; then \
		echo "NOT TESTED: the AWS SDK for JavaScript. Install Node.js $(NODE_LEAST) or later with npm; found: $${version:-none}."; \
		[ "$$CI" != true ]; exit; \
	fi; \
	set -e; rm -rf $(TOOLS)/javascript; mkdir $(TOOLS)/javascript; \
	cp test/e2e/clients/javascript/package*.json $(TOOLS)/javascript; \
	(cd $(TOOLS)/javascript && npm ci --ignore-scripts --no-audit --no-fund --silent); \
	touch $@

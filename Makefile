# Rome's commands. They need Python 3.11 or newer and make, no root. Everything lands under this folder:
# .venv (tests), .demo (OpenStack, data, the results of the benchmark), .cache (downloads). A set-up that failed goes on.

PYTHON ?= python3
COUNT ?= 3
OUT ?= .demo/bench
CLIENTS ?= 32
DATA := $(CURDIR)/.demo/data
LMDB := rome+lmdb:///$(DATA)/{db}.lmdb
SLT ?= tests/slt/cases
TRANSACTIONS ?= 200000
PROCESSES ?= 8
PROFILED ?= $(LMDB) own-redis
MINUTES ?= 10

VENV := .venv
comma := ,
LOWEST := .cache/lowest
SITE := .cache/site-venv
LOGS := .cache/log
KIT := .demo
KIT_READY := $(KIT)/venv/ready $(KIT)/src/ready
OWN_KITS := keystone cinder neutron oslo.db
SUITE_KIT = $(KIT)$(addprefix /,$(filter $(SUITE),$(OWN_KITS)))
KIT_PYTHON := PYTHONPATH=$(CURDIR)/openstack:$(CURDIR) $(CURDIR)/$(KIT)/venv/bin/python

BENCH_PYTHON = PYTHONPATH=$(CURDIR)/bench:$(CURDIR)/openstack:$(CURDIR):$(CURDIR)/$(NOVA_TREE) \
	OS_NOVA_DISABLE_EVENTLET_PATCHING=1 $(CURDIR)/$(KIT)/venv/bin/python -W ignore
NOVA_TREE = $(wildcard $(KIT)/src/nova-*)

export XDG_CACHE_HOME := $(CURDIR)/.cache
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_PROGRESS_BAR := off
export MYPY_CACHE_DIR := $(CURDIR)/.cache/mypy
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff


.PHONY: help demo boot sizing contention calls instructions lines preparation server-instructions replay bench profile openstack-test transfer-test dragonflow-test test test-lowest sanitize slt fuzz faults interruptions isolation sqlalchemy-test lint types layers package site clean

help:
	@sed -n 's/^#: \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

#: To try Rome
#:   make demo [URL=..] [COUNT=3]           a tour of the ORM, then real Nova and Placement boot servers on Rome
#:   make boot [URL=..] [COUNT=3] [ARGS=..]  only the servers; without URL on LMDB, and on a Redis server of its own;
#:                                          ARGS="--at-once 8 --all-requests"
#:   make bench [ONLY=..] [PEERS=..] [RUNS=..] [QUICK=1] [OUT=..]   Rome beside MariaDB, PostgreSQL and an SQLite file;
#:                                          ONLY=sites: etcd, Redis, Galera and a remote MariaDB at three sites; as root
#:   make sizing [URL=..] [COUNT=1000]      how much room Nova's and Placement's databases take for 1,000 instances
#:   make contention [URL=..] [CLIENTS=32]  many processes change one row: latency, fairness, failures, server CPU
#:   make openstack-test SUITE=.. [URL=..]  the database tests of nova, glance, placement, keystone, cinder, neutron, oslo.db
#:   make transfer-test [COUNT=100000] [STORES=lmdb,redis]   the databases of Nova and Keystone from a MariaDB into Rome and back
#:   make dragonflow-test [URL=..]          the tests of DragonFlow 4.0.0 for its database drivers, on rome.kv
#:   make clean                             remove everything that was set up
#:
#: To change Rome
#:   make test [ARGS=..]                    the tests, with the servers that they need; ARGS goes to pytest
#:   make test-lowest [ARGS=..]             the same with the lowest versions that pyproject.toml allows
#:   make lint types layers                 ruff, mypy, import-linter
#:   make site                              the documentation as web pages in .cache/site/pages; warnings and broken links are errors
#:   make package                           build sdist and wheel, and install each in an empty environment
#:
#: To search for faults
#:   make fuzz [MINUTES=10] [URL=..] [SEED=..]   random statements on Rome and on stock SQLite, until they differ;
#:                                          PAIRS=2000: which constructs so many histories put side by side
#:   make slt [SLT=..] [URL=..]             sqllogictest files below a folder; without SLT our own, without URL in memory
#:   make faults [ROUNDS=50]                servers, connections and clients fail while clients write: nothing may be lost
#:   make interruptions [STEP=1]            an exception comes into each operation, at every STEPth place where one can
#:   make sanitize [ARGS=..]                the compiled part under AddressSanitizer and UBSan, with damaged records and connections
#:   make isolation [URL=..] [LEVEL=..]     checks that transactions are isolated: TRANSACTIONS=200000 PROCESSES=8 per store;
#:                                          without URL on LMDB, and on a Redis and a Valkey server of its own
#:   make sqlalchemy-test [ARGS=..]         SQLAlchemy's own tests on Rome and on stock SQLite, compared
#:
#: To measure what Rome does
#:   make calls [URL=..] [ARGS=..]          calls of Rome's functions that a statement makes, warm; ARGS="--list LEFT\ JOIN"
#:   make instructions [URL=..]             instructions that a statement with its transaction executes, warm; needs valgrind
#:   make lines [URL=..] [ARGS="--list 20"]  cache lines that it fetches when the caches are empty; needs valgrind
#:   make preparation [ARGS=--list]         instructions that preparing the texts of a recorded boot executes, and a new process' first steps
#:   make server-instructions [ARGS=..]     instructions that a Redis server executes for a read or commit; ARGS='--server valkey-server'
#:   make replay [URL=..] [ARGS=..]         the calls of a recorded boot, without Nova; ARGS=--instructions counts what they execute
#:   make profile [URL=..] [COUNT=10]       where the time of a boot goes inside Rome
#:
#: URL: any of SQLAlchemy's, with {db} where a database is named: 'rome+redis://127.0.0.1:6379/{db}'

demo: URL ?= $(LMDB)
demo: $(KIT_READY) $(DATA)
	@$(KIT_PYTHON) demo/tour.py '$(URL)'
	@$(KIT_PYTHON) -m romekit.boot --count $(COUNT) '$(URL)'
	@echo 'Next: make boot ARGS=--all-requests shows every request; make bench ONLY=boot puts them beside MariaDB and PostgreSQL;'
	@echo 'docs/start.md is for your own application.'

boot: $(KIT_READY) $(DATA)
	@$(KIT_PYTHON) -m romekit.boot --count $(COUNT) $(ARGS) $(if $(URL),'$(URL)','$(LMDB)' own-redis)

bench: $(KIT_READY) $(KIT)/venv/bench-ready
	@$(BENCH_PYTHON) -m romebench \
		$(if $(ONLY),--only '$(ONLY)') $(if $(PEERS),--peers '$(PEERS)') $(if $(RUNS),--runs $(RUNS)) \
		$(if $(QUICK),--quick) --out '$(OUT)' $(ARGS)

RECORDED := .cache/boot.msgpack
replay: URL ?= rome+memory:///{db}
replay: $(RECORDED)
	@$(VENV)/bin/python bench/replay.py $(RECORDED) '$(URL)' $(ARGS)

preparation: $(RECORDED)
	@$(VENV)/bin/python bench/preparation.py $(RECORDED) $(ARGS)

$(RECORDED): | $(VENV)/ready $(KIT_READY)
	@mkdir -p $(LOGS)
	@$(BENCH_PYTHON) -m romebench.boot_recording $@ 2> $(LOGS)/recording.log

profile: $(KIT_READY) $(DATA)
	@$(foreach url,$(or $(URL),$(PROFILED)),$(BENCH_PYTHON) -m romebench.boot_profile '$(url)' $(COUNT) 2> $(LOGS)/profile.log &&) true

sizing: $(KIT_READY) $(DATA)
	@mkdir -p $(LOGS)
	@$(BENCH_PYTHON) -m romekit.sizing $(if $(filter-out 3,$(COUNT)),--instances $(COUNT)) $(if $(URL),'$(URL)','$(LMDB)') \
		2> $(LOGS)/sizing.log || { tail -n 20 $(LOGS)/sizing.log; false; }

contention: URL ?= rome+lmdb:///$(CURDIR)/.cache/contention.rome
contention: $(VENV)/ready
	@$(VENV)/bin/python bench/contention.py '$(URL)' --clients $(CLIENTS) $(ARGS)

calls: URL ?= rome+memory://
calls: $(VENV)/ready
	@$(VENV)/bin/python -W ignore bench/calls.py '$(URL)' $(ARGS)

instructions: URL ?= rome+memory://
instructions: $(VENV)/ready
	@$(VENV)/bin/python bench/instructions.py '$(URL)'

lines: URL ?= rome+memory://
lines: $(VENV)/ready
	@$(VENV)/bin/python bench/lines.py '$(URL)' $(ARGS)

server-instructions: $(VENV)/ready
	@$(VENV)/bin/python bench/server_instructions.py $(ARGS)

dragonflow-test: .cache/dragonflow/ready
	@cd .cache/dragonflow && PYTHONPATH=$(CURDIR)/openstack bin/python -W ignore $(CURDIR)/openstack/romedragonflow/own_tests.py \
		'$(if $(URL),$(URL),rome+lmdb:///$(CURDIR)/.cache/dragonflow/northbound.rome)'

openstack-test: $(SUITE_KIT)/venv/ready $(SUITE_KIT)/src/ready
	@PYTHONPATH=$(CURDIR)/openstack:$(CURDIR) $(CURDIR)/$(SUITE_KIT)/venv/bin/python -m romekit.suites $(SUITE) $(if $(URL),--url '$(URL)') $(ARGS)

transfer-test: COUNT = 100000
transfer-test: $(KIT_READY) $(KIT)/keystone/venv/ready
	@$(KIT_PYTHON) -W ignore -m romekit.transfer --count $(COUNT) --stores $(or $(STORES),lmdb$(comma)redis)

test: $(VENV)/ready
	@$(VENV)/bin/python -m pytest $(ARGS)

test-lowest: $(LOWEST)/ready
	@$(LOWEST)/bin/python -m pytest $(ARGS)

SANITIZERS := -g -O1 -std=c99 -fPIC -shared -fvisibility=hidden -fsanitize=address,undefined -fno-sanitize-recover=all
sanitize: $(VENV)/ready
	@if ! command -v gcc > /dev/null; then echo 'no gcc: nothing to sanitize'; exit 0; fi; \
	gcc $(SANITIZERS) -Wall -Wextra -Werror -o .cache/rome_rows.so src/rome/compiled/rows.c && \
	gcc $(SANITIZERS) -Wall -Wextra -Werror -I"$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
		-o .cache/channel.abi3.so src/rome/compiled/channel.c && \
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 ROME_COMPILED=$(CURDIR)/.cache/rome_rows.so \
	$(VENV)/bin/python -m pytest -q tests/compiled tests/workingset tests/store/redis/test_channel.py $(or $(ARGS),-k 'not compiles and not places')

sqlalchemy-test: $(VENV)/ready
	@$(VENV)/bin/python -m tests.dialect.sqlalchemy_suite.upstream --folder .cache/sqlalchemy --workers 2 $(ARGS)

slt: $(VENV)/ready
	@$(VENV)/bin/python -m tests.slt '$(SLT)' $(if $(URL),--url '$(URL)')

faults: $(VENV)/ready
	@ROUNDS=$(or $(ROUNDS),50) $(VENV)/bin/python -m pytest -q -s tests/faults $(ARGS)

interruptions: $(VENV)/ready
	@INTERRUPTIONS_STEP=$(or $(STEP),1) $(VENV)/bin/python -m pytest -q tests/interruptions $(ARGS)

isolation: $(VENV)/ready
	@$(VENV)/bin/python -m $(if $(URL),rome.testing.isolation '$(URL)',tests.isolation) \
		--transactions $(TRANSACTIONS) --processes $(PROCESSES) $(if $(LEVEL),--level '$(LEVEL)')

fuzz: $(VENV)/ready
	@$(VENV)/bin/python -m tests.fuzz --minutes '$(MINUTES)' $(if $(SEED),--seed $(SEED)) $(if $(URL),--url '$(URL)') \
		$(if $(PAIRS),--pairs $(PAIRS))

lint: $(VENV)/ready
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types: $(VENV)/ready
	@$(VENV)/bin/mypy
	@cd openstack && ../$(VENV)/bin/mypy --config-file mypy.ini romekit romedragonflow ../demo ../bench

package:
	@tools/package $(PYTHON) .cache/package

layers: $(VENV)/ready
	@$(VENV)/bin/lint-imports

clean:
	rm -rf $(VENV) $(KIT) .cache .pytest_cache .import_linter_cache .hypothesis

# ---- set-up: a file `ready` says that what is beside it is complete

# $(call new-venv,NUMBER,FOLDER)
define new-venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo 'Rome needs Python 3.11 or newer; name one: make PYTHON=python3.11 $(MAKECMDGOALS)' >&2; exit 1; }
@tools/step $(LOGS)/venv.log $(1) 'a virtual environment in $(2)' $(PYTHON) -m venv --clear $(2)
endef

$(DATA):
	@mkdir -p $@

$(VENV)/bin/pip:
	$(call new-venv,1/2,$(VENV))

$(VENV)/ready: pyproject.toml tools/hatch_build.py $(wildcard src/rome/compiled/*.[ch]) | $(VENV)/bin/pip
	@tools/step $(LOGS)/test.log 2/2 'Rome and its test tools' $(VENV)/bin/pip install -e '.[test]'
	@touch $@

# Zensical takes the folder .cache beside its configuration for its own, and so gets a place with another one.
site: $(SITE)/ready
	@rm -rf .cache/site && mkdir -p .cache/site && cp -r mkdocs.yml docs src .cache/site
	@$(SITE)/bin/python tools/site_index.py README.md > .cache/site/docs/index.md
	@cd .cache/site && $(CURDIR)/$(SITE)/bin/zensical build --strict
	@! grep -lE '<(script|img|iframe)[^>]* src="?https?:|<link[^>]*(rel="?(stylesheet|preload)[^>]*https?:|https?:[^>]*rel="?(stylesheet|preload))' .cache/site/pages/*.html || \
		{ echo 'these pages need another host' >&2; false; }
	@echo 'the pages are in .cache/site/pages: open index.html'

$(SITE)/bin/pip:
	$(call new-venv,1/2,$(SITE))

$(SITE)/ready: pyproject.toml | $(SITE)/bin/pip
	@tools/step $(LOGS)/site.log 2/2 'Rome and what makes the pages' $(SITE)/bin/pip install -e '.[site,redis,etcd,asyncio]'
	@touch $@

$(LOWEST)/bin/pip:
	$(call new-venv,1/2,$(LOWEST))

$(LOWEST)/ready: pyproject.toml tools/lowest | $(LOWEST)/bin/pip
	@$(PYTHON) tools/lowest pyproject.toml > $(LOWEST)/constraints.txt
	@tools/step $(LOGS)/lowest.log 2/2 'Rome, with the lowest versions of all that it depends on' \
		$(LOWEST)/bin/pip install -c $(LOWEST)/constraints.txt -e '.[test]' sqlalchemy-cockroachdb==2.0.4
	@touch $@

$(KIT)/venv/bin/pip:
	$(call new-venv,1/3,$(KIT)/venv)

$(KIT)/venv/ready: pyproject.toml openstack/requirements.txt openstack/tools.txt | $(KIT)/venv/bin/pip
	@tools/step $(LOGS)/openstack.log 2/3 'Rome, Nova, Glance, Placement and the 180 packages they need (a minute or two)' \
		$(KIT)/venv/bin/pip install -e '.[redis,etcd,oslo]' -r openstack/requirements.txt
	@touch $@

$(KIT)/venv/bench-ready: bench/requirements.txt bench/install | $(KIT)/venv/ready
	@tools/step $(LOGS)/bench.log 4/4 'what the benchmark needs' bench/install $(KIT)/venv/bin/pip bench/requirements.txt
	@touch $@

$(KIT)/src/ready: openstack/requirements.txt | $(KIT)/venv/ready
	@tools/step $(LOGS)/sources.log 3/3 'the sources of Nova, Glance and Placement, which hold their tests' \
		openstack/fetch-sources $(KIT)/venv/bin/pip openstack/requirements.txt $(KIT)/src
	@touch $@

.cache/dragonflow/bin/pip:
	$(call new-venv,1/3,.cache/dragonflow)

.cache/dragonflow/ready: openstack/romedragonflow/requirements.txt | .cache/dragonflow/bin/pip
	@tools/step $(LOGS)/dragonflow.log 2/3 'Rome, DragonFlow 4.0.0 and what its drivers need' \
		$| install -e '.[redis]' -r openstack/romedragonflow/requirements.txt
	@tools/step $(LOGS)/dragonflow-itself.log 3/3 'DragonFlow, without what it says that it needs' \
		$| install --no-deps dragonflow==4.0.0
	@touch $@

# ---- services whose tests have an environment of their own, which only `make openstack-test SUITE=..` makes

$(OWN_KITS:%=$(KIT)/%/venv/bin/pip): $(KIT)/%/venv/bin/pip:
	$(call new-venv,1/3,$(KIT)/$*/venv)

$(OWN_KITS:%=$(KIT)/%/venv/ready): $(KIT)/%/venv/ready: pyproject.toml openstack/%.txt openstack/tools.txt | $(KIT)/%/venv/bin/pip
	@tools/step $(LOGS)/$*.log 2/3 'Rome, $* and the packages that it needs (some minutes)' \
		$(KIT)/$*/venv/bin/pip install -e '.[redis,oslo]' -r openstack/$*.txt
	@touch $@

$(OWN_KITS:%=$(KIT)/%/src/ready): $(KIT)/%/src/ready: openstack/%.txt | $(KIT)/%/venv/ready
	@tools/step $(LOGS)/$*-source.log 3/3 'the source of $*, which holds its tests' \
		openstack/fetch-sources $(KIT)/$*/venv/bin/pip openstack/$*.txt $(KIT)/$*/src
	@touch $@

# Short names for common tasks; meson and ninja do the work. `make help` lists them.
BUILD ?= build
MESON_OPTIONS ?=

all: $(BUILD)/build.ninja ## build the programs and the library (build/vmcred)
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@tools/install-deps --build
	@meson setup $(BUILD) $(MESON_OPTIONS)

demo: ## the whole flow with real programs, from a generated secret to a service in a guest
	@examples/test-vm/demo

test: ## all tests: units, programs, interop with real peers, a booted guest (K=PATTERN: only those that match)
	@tools/install-deps --test
	@$(MAKE) --no-print-directory all
	@tools/test-run $(BUILD) $(if $(K),-k '$(K)')

bench: ## measure against real peers in the same run, and write build/bench.html
	@tools/install-deps --test
	@$(MAKE) --no-print-directory all
	@rm -f $(BUILD)/bench/*.jsonl $(BUILD)/meson-logs/bench.json
	@cat /proc/loadavg >$(BUILD)/bench/loadavg
	@cache="$${XDG_CACHE_HOME:-$$HOME/.cache}/vmcred"; PATH="$$cache/bin:$$(echo "$$cache"/age-*):$$PATH"; code=0; \
		meson test -C $(BUILD) --benchmark --logbase bench --verbose || code=$$?; \
		python3 bench/page.py $(BUILD) && exit $$code

lint: all ## clang-tidy, cppcheck, shellcheck, formatting, wording
	@tools/lint $(BUILD)

fmt: ## format the sources
	@git ls-files '*.c' '*.h' | xargs clang-format -i

sanitize: ## the unit and program tests with ASan and UBSan, and the unit tests with valgrind
	@tools/sanitize

fuzz: ## each fuzzer for a minute (FUZZ_SECONDS=60)
	@tools/fuzz

install: all ## install (DESTDIR works; MESON_OPTIONS=--prefix=DIR at the first build)
	@meson install -C $(BUILD)

uninstall: ## remove what `make install` installed
	@ninja -C $(BUILD) uninstall

clean: ## remove the build directories
	@rm -rf $(BUILD) $(BUILD)-*

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

.PHONY: all demo test bench lint fmt sanitize fuzz install uninstall clean help

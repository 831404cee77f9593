# Front for people; meson does the work.  `make` leaves the program at build/utrace.
PREFIX ?= /usr/local
BUILD = build

.PHONY: all deps demo check bench torture install clean fuzz sanitize

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@sh tools/install-deps.sh --check || sh tools/install-deps.sh
	@meson setup $(BUILD) --prefix=$(PREFIX) --buildtype=release -Db_ndebug=false

deps:
	@sh tools/install-deps.sh

# Everything from a fresh clone: dependencies, build, the main job on a real program.
demo: all
	@sh examples/demo.sh $(BUILD)/utrace

# All tests; the last line is "N passed, N failed[, N skipped]".
check: all
	@sh tools/run-tests.sh $(BUILD)

bench: all
	@sh tests/bench/run.sh $(BUILD)

# Long runs of what can only go wrong by chance: DURATION seconds for each program of tests/torture.
torture: all
	@sh tests/torture/run.sh $(BUILD)

# The same tests under AddressSanitizer and UndefinedBehaviorSanitizer.  (The leak checker of gcc 12 takes the thread
# local storage of libraries that come late for something else, and crashes.)
sanitize:
	@test -d $(BUILD)-san || meson setup $(BUILD)-san --native-file build-dev.ini
	@ASAN_OPTIONS=intercept_tls_get_addr=0:$$ASAN_OPTIONS \
		TEST_TIMEOUT_FACTOR=$${TEST_TIMEOUT_FACTOR:-10} sh tools/run-tests.sh $(BUILD)-san

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) $(if $(DESTDIR),--destdir $(DESTDIR))

clean:
	@rm -rf $(BUILD) $(BUILD)-san $(BUILD)-torture-*

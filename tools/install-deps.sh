#!/bin/sh
# Installs what building and testing needs, from the distribution.  --check only tells whether
# everything is there (exit 0).
set -u

DEBIAN="gcc make meson ninja-build pkg-config python3 libdw-dev libelf-dev libdebuginfod-dev libiberty-dev libzydis-dev
llvm-19-dev uthash-dev libzstd-dev scdoc musl-tools g++ binutils gdb redis-server redis-tools procps util-linux
systemtap-sdt-dev golang-go dwz libc6-dbg libjansson-dev"
FEDORA="gcc make meson ninja-build pkgconf-pkg-config python3 elfutils-devel elfutils-libelf-devel
elfutils-debuginfod-client-devel binutils-devel zydis-devel llvm19-devel uthash-devel libzstd-devel scdoc musl-gcc gcc-c++
binutils gdb redis procps-ng util-linux systemtap-sdt-devel golang dwz jansson-devel"

have_build_tools()
{
	for tool in cc meson ninja pkg-config python3 scdoc; do
		command -v "$tool" >/dev/null 2>&1 || return 1
	done
	pkg-config --exists libdw libelf libzstd jansson || return 1
	command -v llvm-config-19 >/dev/null 2>&1 || command -v llvm-config >/dev/null 2>&1 || return 1
	printf '#include <Zydis/Zydis.h>\n#include <libiberty/demangle.h>\n#include <uthash.h>\nint main(void){return 0;}\n' |
		cc -fsyntax-only -x c - 2>/dev/null
}

if [ "${1:-}" = --check ]; then
	have_build_tools
	exit
fi

as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null 2>&1 || {
		echo "install-deps: not root and no sudo; install these yourself:" >&2
		echo "  Debian, Ubuntu: apt-get install $DEBIAN" >&2
		echo "  Fedora:         dnf install $FEDORA" >&2
		exit 1
	}
	as_root=sudo
fi

if command -v apt-get >/dev/null 2>&1; then
	export DEBIAN_FRONTEND=noninteractive
	$as_root apt-get update -qq
	# policy-rc.d semantics differ between machines: a server package may start its server, which
	# the tests do not need but do not mind.
	$as_root apt-get install -y -qq --no-install-recommends $DEBIAN >/dev/null
elif command -v dnf >/dev/null 2>&1; then
	$as_root dnf install -y -q $FEDORA
else
	echo "install-deps: neither apt-get nor dnf here; the packages are, in Debian's names:" >&2
	echo "  $DEBIAN" >&2
	exit 1
fi
have_build_tools || {
	echo "install-deps: something is still missing after the installation" >&2
	exit 1
}

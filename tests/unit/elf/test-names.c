/* SPDX-License-Identifier: MIT */
#include "elf/names.h"
#include "tap.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *symbol, *name; /* NULL: stays mangled */
} demangled[] = {
	{"_Z3foov", "foo"},
	{"_ZL3fooi", "foo"},
	{"_ZN2ns3cls1fEi", "ns::cls::f"},
	{"_ZNK2ns3cls1fEv", "ns::cls::f"},
	{"_ZN2ns3clsC1Ev", "ns::cls::cls"},
	{"_ZN2ns3clsD2Ev", "ns::cls::~cls"},
	{"_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector::push_back"},
	{"_ZSt4sortIPiEvT_S1_", "std::sort"},
	{"_ZNSs6appendEPKc", "std::string::append"},
	{"_ZN1aIXadL_Z1bvEEE1cEv", "a::c"},
	{"_ZN1aILi5EE1cEv", "a::c"},
	{"_ZN1aIL5color0EE1cEv", "a::c"},
	{"_ZN2ns3clsaSERKS0_", "ns::cls::operator="},
	{"_ZnwmSt11align_val_t", "operator new"},
	{"_ZN12_GLOBAL__N_11fEv", "(anonymous namespace)::f"},
	{"_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE5clearB5cxx11Ev",
		"std::__cxx11::basic_string::clear"},
	{"_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"},
	{"_ZN2ns3cls17h0123456789abcdexE", "ns::cls::h0123456789abcdex"},
	{"_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()"},
	{"_ZN2ns3clscvbEv", "ns::cls::operator bool"},
	{"_ZN2nslsIiEEvT_", "ns::operator<<"},
	{"_ZN2ns3clsptEv", "ns::cls::operator->"},
	{"_ZN1aIXadL_ZNKS_ptEvEEE1cEv", "a::c"},
	{"_RNvCs1234_7mycrate3foo", "mycrate::foo"},
	{"_RINvNtC3std3mem8align_ofdE", "std::mem::align_of"},
	{"_ZN48_$LT$Vec$LT$T$GT$$u20$as$u20$core..ops..Drop$GT$4drop17h0123456789abcdefE",
		"<Vec as core::ops::Drop>::drop"},
	{"foo", NULL},
	{"_Z", NULL},
	{"_ZN", NULL},
	{"_ZN3fo", NULL},
	{"_ZN99999999999999999999aE", NULL},
	{"_ZTV3foo", NULL},
	{"_ZThn8_N1B1fEv", NULL},
	{"_ZN1aI", NULL},
};

static const struct {
	const char *pattern, *symbol;
	bool matches;
} patterns[] = {
	{"foo", "foo", true},
	{"foo", "food", false},
	{"fo*", "food", true},
	{"f?o", "foo", true},
	{"f[a-o]o", "foo", true},
	{"f[!o]o", "foo", false},
	{"foo", "foo.constprop.0", true},
	{"foo", "foo.isra.0.cold", true}, /* the caller looks at is_cold_part */
	{"foo.constprop.0", "foo.constprop.0", true},
	{"f", "_ZN2ns3cls1fEi", true},
	{"cls::f", "_ZN2ns3cls1fEi", true},
	{"ns::cls::f", "_ZN2ns3cls1fEi", true},
	{"s::cls::f", "_ZN2ns3cls1fEi", false},
	{"cls", "_ZN2ns3cls1fEi", false},
	{"ns::*", "_ZN2ns3cls1fEi", true},
	{"_ZN2ns3cls1fEi", "_ZN2ns3cls1fEi", true},
	{"f(int)", "_ZN2ns3cls1fEi", true},
	{"ns::cls::f(int)", "_ZN2ns3cls1fEi", true},
	{"f(char)", "_ZN2ns3cls1fEi", false},
	{"cls::f()", "_ZNK2ns3cls1fEv", true},
	{"cls::f() const", "_ZNK2ns3cls1fEv", true},
	{"cls::f() volatile", "_ZNK2ns3cls1fEv", false},
	{"std::vector::push_back", "_ZNSt6vectorIiSaIiEE9push_backEOi", true},
	{"std::vector<int,std::allocator<int>>::push_back",
		"_ZNSt6vectorIiSaIiEE9push_backEOi", true},
	{"vector<int, std::allocator<int> >::push_back(int&&)",
		"_ZNSt6vectorIiSaIiEE9push_backEOi", true},
	{"vector<char*>::push_back", "_ZNSt6vectorIiSaIiEE9push_backEOi", false},
	{"vector<int*>::push_back", "_ZNSt6vectorIiSaIiEE9push_backEOi", true},
	{"push_*", "_ZNSt6vectorIiSaIiEE9push_backEOi", true},
	{"std::sort<int*>(int*, int*)", "_ZSt4sortIPiEvT_S1_", true},
	{"string", "_ZNSsC1Ev", false},
	{"operator=", "_ZN2ns3clsaSERKS0_", true},
	{"operator()", "_ZZ4mainENKUlvE_clEv", true},
	{"(anonymous namespace)::f", "_ZN12_GLOBAL__N_11fEv", true},
	{"~cls", "_ZN2ns3clsD2Ev", true},
	{"cls", "_ZN2ns3clsC1Ev", true},
	{"foo", "_ZL3fooi.constprop.0", true},
	{"mycrate::foo", "_RNvCs1234_7mycrate3foo", true},
	{"foo", "_RNvCs1234_7mycrate3foo", true},
	{"drop",
		"_ZN48_$LT$Vec$LT$T$GT$$u20$as$u20$core..ops..Drop$GT$4drop17h0123456789abcdefE",
		true},
	{"main.main", "main.main", true}, /* Go */
	{"main.(*T).f", "main.(*T).f", true},
	{"main.F[...]", "main.F[...]", true},
	{"main", "main.main", false},
	{"main", "main.Main", false},
	{"", "", true},
};

static const struct {
	const char *pattern, *path;
	bool matches;
} files[] = {
	{"c.c", "/a/b/c.c", true},
	{"b/c.c", "/a/b/c.c", true},
	{"/a/b/c.c", "/a/b/c.c", true},
	{".c", "/a/b/c.c", false},
	{"*.c", "/a/b/c.c", true},
	{"b/*", "/a/b/c.c", true},
	{"c.c", "c.c", true},
	{"a.c", "c.c", false},
	{"malloc.c", "./malloc/malloc.c", true},
};

static const struct {
	const char *wanted, *names, *similar;
} similar[] = {
	{"fo", "foo bar main frobnicate a b", "foo, a, b, bar, main"},
	{"readlin", "readline rl_read zread x", "readline, zread, x, rl_read"},
	{"foo", "_foo fooo __foo", "_foo, fooo"}, /* never those of the implementation */
	{"_fo", "_foo fooo", "_foo, fooo"},
	{"Foo", "food fOO foo", "foo, fOO, food"}, /* another case is half a change */
	{"same", "some some same2", "same2, some"},
	{"x", "", ""},
};

static void test_similar(size_t i)
{
	char text[128];
	struct strbuf out;
	struct elf_similar found = {.wanted = similar[i].wanted};
	strbuf_init(&out);
	snprintf(text, sizeof(text), "%s", similar[i].names);
	for (char *save, *name = strtok_r(text, " ", &save); name;
		name = strtok_r(NULL, " ", &save))
		elf_similar_add(&found, name);
	elf_similar_print(&found, &out);
	tap_is_string(out.data, similar[i].similar, similar[i].wanted);
	strbuf_deinit(&out);
}

int main(void)
{
	for (size_t i = 0; i < LENGTH(demangled); i++) {
		char name[128];
		bool ok = elf_demangle(demangled[i].symbol, name, sizeof(name));
		tap_is_string(ok ? name : NULL, demangled[i].name, demangled[i].symbol);
	}
	char small[8];
	tap_ok(!elf_demangle("_ZN2ns3cls1fEi", small, sizeof(small)), "no room");
	for (size_t i = 0; i < LENGTH(patterns); i++)
		tap_ok(elf_pattern_matches_symbol(patterns[i].pattern,
			       patterns[i].symbol) == patterns[i].matches,
			"%s %s %s", patterns[i].pattern,
			patterns[i].matches ? "matches" : "does not match",
			patterns[i].symbol);
	for (size_t i = 0; i < LENGTH(files); i++)
		tap_ok(elf_pattern_matches_file(files[i].pattern, files[i].path) ==
				files[i].matches,
			"@%s %s %s", files[i].pattern,
			files[i].matches ? "matches" : "does not match", files[i].path);
	for (size_t i = 0; i < LENGTH(similar); i++)
		test_similar(i);
	return tap_done();
}

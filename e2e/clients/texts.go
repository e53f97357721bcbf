//go:build unix

package main

import (
	"fmt"
	"strings"
)

// texts returns a hundred texts of every kind, and one of 1 MB.
func texts() []string {
	all := []string{
		"plain", "", " ", "  two blanks before", "blanks behind  ", "\ttab", ":colon first", ": comment", "a: b", "data: forged", "id: 9-9", "event: close", "retry: 1",
		"a\nb", "a\n\nb", "\n", "\n\n", "\na", "a\n", "a\r\nb", "a\rb", "\r", "\r\n", "a\n\rb", "id: 1\n\nevent: close\ndata: x\n\n",
		"nul \x00 in it", "\x00", "bell \a", "escape \x1b[31mred", "delete \x7f", "vertical \v tab", "form \f feed", "separators \x1c\x1d\x1e\x1f",
		"\u0085 next line", "\u2028 line separator", "\u2029 paragraph separator", "a\u2028id: 9-9\u2029b", "\uFEFF mark first", "mark \uFEFF inside", "\uFFFD replacement",
		"größer", "日本語", "русский", "العربية", "עברית", "हिन्दी", "한국어", "ไทย", "😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "e\u0301 combined", "\u202Eright to left", "𝔘𝔫𝔦", "\U0010FFFF last", "\uFFFE none",
		"<b>bold</b>", "<script>alert(1)</script>", "&amp; &lt; &#0;", `"quoted"`, "'single'", "`back`", `back\slash`, `\u0041`, "${x} {{x}} <%= x %>", "<!-- comment -->", "]]>", "</div></div>",
		"%00 %0a", "a+b", "a/b", "?q=1&r=2#f", "null", "undefined", "NaN", "true ", "[object Object]", "0x10", "- 1", "{not json", "[1,", `{"a":1`,
	}
	all = append(all, strings.Repeat("x", 1000), strings.Repeat("long line ", 1000), strings.Repeat("\n", 100), strings.Repeat("line\n", 500), strings.Repeat("😀", 5000))
	for i := len(all); i < 100; i++ {
		all = append(all, fmt.Sprintf("event %d of a hundred", i))
	}
	return append(all, strings.Repeat("0123456789abcdef", 1_000_000/16))
}

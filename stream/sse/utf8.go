package sse

import "unicode/utf8"

const replacement = "\uFFFD"

// validUTF8 returns b itself if it is valid UTF-8. Otherwise it returns a copy
// in which each broken sequence is one U+FFFD, as every browser decodes it: the
// longest beginning of a valid sequence counts as one, any other byte by itself
// (WHATWG Encoding, UTF-8 decoder; Unicode calls it the maximal subpart).
// bytes.ToValidUTF8 makes one U+FFFD of a whole run of broken sequences, and a
// loop over the runes makes one of each byte.
func validUTF8(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	valid := make([]byte, 0, len(b)+len(replacement))
	for len(b) > 0 {
		if r, size := utf8.DecodeRune(b); r != utf8.RuneError || size > 1 {
			valid = append(valid, b[:size]...)
			b = b[size:]
			continue
		}
		valid = append(valid, replacement...)
		b = b[brokenPrefix(b):]
	}
	return valid
}

// brokenPrefix returns how many bytes at the beginning of b, which is no valid
// sequence, are replaced together.
func brokenPrefix(b []byte) int {
	var more int // bytes that should follow the first
	low, high := byte(0x80), byte(0xBF)
	switch lead := b[0]; {
	case lead >= 0xC2 && lead <= 0xDF:
		more = 1
	case lead >= 0xE0 && lead <= 0xEF:
		more = 2
		switch lead {
		case 0xE0:
			low = 0xA0 // below it, the form is too long
		case 0xED:
			high = 0x9F // above it are surrogates
		}
	case lead >= 0xF0 && lead <= 0xF4:
		more = 3
		switch lead {
		case 0xF0:
			low = 0x90
		case 0xF4:
			high = 0x8F // above it is beyond U+10FFFF
		}
	default:
		return 1
	}
	n := 1
	for n < len(b) && n <= more && b[n] >= low && b[n] <= high {
		n++
		low, high = 0x80, 0xBF
	}
	return n
}

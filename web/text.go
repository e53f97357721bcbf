package web

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")
	// Colours and cursor movements that programs print for terminals.
	ansi = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)")
)

// cutText prepares text for the page and says how many bytes it left out.
func cutText(s string) (string, int) {
	cut := 0
	if len(s) > maxText {
		end := maxText
		for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		cut = len(s) - end
		s = s[:end]
	}
	return clean(strings.TrimRight(newlines.Replace(ansi.ReplaceAllString(s, "")), "\n")), cut
}

// clean makes text that can be seen of any bytes: invalid UTF-8 becomes U+FFFD,
// a control character its picture, so that a NUL in a log line is not lost.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < 0x20:
			return 0x2400 + r
		case r == 0x7f:
			return 0x2421
		default:
			return r
		}
	}, s)
}

// short cuts s to n runes, with an ellipsis in place of what is cut.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	i := 0
	for at := range s {
		if i == n-1 {
			return s[:at] + "…"
		}
		i++
	}
	return s
}

// formatNumber writes a number of a payload for people, as number does in number.js.
// digits is how many are behind the point, below zero as many as the number needs: six
// that count, at least two behind the point, and no zeros at the end. From 1e15 on, and
// below 0.0001 unless digits says otherwise, it has six digits and an exponent.
func formatNumber(f float64, digits int) string {
	size := math.Abs(f)
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', 5, 64), "e")
	power, _ := strconv.Atoi(exponent) // FormatFloat wrote it
	trimmed := func(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }
	var s string
	switch {
	case size >= 1e15 || digits < 0 && size > 0 && size < 1e-4:
		return fmt.Sprintf("%se%+d", trimmed(mantissa), power)
	case digits < 0:
		s = trimmed(group(strconv.FormatFloat(f, 'f', max(2, 5-power), 64)))
	default:
		s = group(strconv.FormatFloat(f, 'f', digits, 64))
	}
	if !strings.ContainsAny(s, "123456789") {
		return strings.TrimPrefix(s, "-") // there is no -0
	}
	return s
}

// group sets commas into a number of five or more digits before the point.
func group(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, behind, hasPoint := strings.Cut(s, ".")
	if hasPoint {
		behind = "." + behind
	}
	if len(whole) < 5 {
		return sign + s
	}
	head := (len(whole)-1)%3 + 1
	var b strings.Builder
	b.WriteString(sign + whole[:head])
	for i := head; i < len(whole); i += 3 {
		b.WriteString("," + whole[i:i+3])
	}
	return b.String() + behind
}

// formatMS writes how long something took, as duration does in clock.js: three digits
// of it, from a minute on in words.
func formatMS(ms float64) string {
	digits := func(value float64, n int, unit string) string {
		return strconv.FormatFloat(value, 'f', n, 64) + " " + unit
	}
	switch {
	case ms >= 59_950:
		return lasting(ms)
	case ms >= 9995:
		return digits(ms/1000, 1, "s")
	case ms >= 999.5:
		return digits(ms/1000, 2, "s")
	case ms >= 99.95:
		return digits(ms, 0, "ms")
	case ms >= 9.995:
		return digits(ms, 1, "ms")
	case ms > 0 && ms < 0.01:
		return digits(ms*1000, 1, "µs")
	default:
		return digits(max(0, ms), 2, "ms")
	}
}

// lasting writes a long time in whole seconds, as it does in clock.js.
func lasting(ms float64) string {
	s := int(math.Round(ms / 1000))
	words := func(n int, unit string, rest int, small string) string {
		if rest == 0 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		return fmt.Sprintf("%d %s %d %s", n, unit, rest, small)
	}
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return words(s/60, "min", s%60, "s")
	case s < 172_800:
		return words(s/3600, "h", s/60%60, "min")
	default:
		return fmt.Sprintf("%d days", s/86_400)
	}
}

// formatSize writes a number of bytes, as size does in clock.js.
func formatSize(bytes int) string {
	switch n := float64(bytes); {
	case n < 1000:
		return strconv.Itoa(bytes) + " B"
	case n < 1e6:
		return strconv.FormatFloat(n/1e3, 'f', 1, 64) + " kB"
	case n < 1e9:
		return strconv.FormatFloat(n/1e6, 'f', 1, 64) + " MB"
	default:
		return strconv.FormatFloat(n/1e9, 'f', 1, 64) + " GB"
	}
}

func formatShare(pct float64) string {
	if pct > 0 && pct < 1 {
		return "< 1 %"
	}
	return strconv.FormatFloat(math.Round(pct), 'f', 0, 64) + " %"
}

func percent(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) + "%" }

// pace says how bad a latency is, for its colour: "", slow or bad.
func pace(ms float64) string {
	switch {
	case ms >= 1000:
		return "bad"
	case ms >= 100:
		return "slow"
	default:
		return ""
	}
}

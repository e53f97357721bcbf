package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// These functions return what sets a flag: each checks the value, and says what it
// wants instead.

func text(to *string) func(string) error {
	return func(v string) error {
		if v == "" {
			return errors.New("want a value")
		}
		*to = v
		return nil
	}
}

func oneOf(to *string, values ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(values, v) {
			return fmt.Errorf("want one of %s", strings.Join(values, ", "))
		}
		*to = v
		return nil
	}
}

func boolean(to *bool) func(string) error {
	return func(v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return errors.New("want true or false")
		}
		*to = b
		return nil
	}
}

func level(to *slog.Level) func(string) error {
	return func(v string) error {
		if !slices.Contains([]string{"debug", "info", "warn", "error"}, v) {
			return errors.New("want debug, info, warn or error")
		}
		return to.UnmarshalText([]byte(v))
	}
}

func always(string) bool { return true }

// hasPassword reports whether a URL has one; a URL that cannot be read may.
func hasPassword(value string) bool {
	u, err := url.Parse(value)
	if err != nil {
		return true
	}
	_, has := u.User.Password()
	return has
}

func address(to *string) func(string) error {
	return func(v string) error {
		_, port, err := net.SplitHostPort(v)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return errors.New("want HOST:PORT, such as 127.0.0.1:8080, or :8080 for every interface")
		}
		*to = v
		return nil
	}
}

func httpURL(to *string) func(string) error {
	return func(v string) error {
		u, err := url.Parse(v)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New("want a URL such as http://127.0.0.1:16686")
		}
		*to = v
		return nil
	}
}

func duration(to *time.Duration, least, most time.Duration) func(string) error {
	return func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < least || d > most {
			return fmt.Errorf("want a duration from %v to %v, such as 500ms, 15s or 2m", least, most)
		}
		*to = d
		return nil
	}
}

func whole[T int | int64](to *T, least, most int64) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < least || n > most {
			return fmt.Errorf("want a whole number from %d to %d", least, most)
		}
		*to = T(n)
		return nil
	}
}

func number(to *float64) func(string) error {
	return func(v string) error {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || !(f >= 0 && f <= 1e9) {
			return errors.New("want a number from 0 to 1e9")
		}
		*to = f
		return nil
	}
}

// Package eventlog keeps the events of one topic in order.
package eventlog

// Package harness runs what the tests in e2e put together: nodes of Weir, Redis,
// nginx with the configuration that users copy, and Chromium. Everything lives on
// the loopback interface and ends with its test.
package harness

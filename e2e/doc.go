// Package e2e holds the tests that see nothing of Weir but its binary: a
// browser suite against the real server (go test ./e2e), tests of the HTTP
// surface and of the process, and screenshots of the page in each of its
// states (go test ./e2e -run TestScreenshots -screenshots DIR).
package e2e

//go:build unix

package source

var OpenNow = openNow

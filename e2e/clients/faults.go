//go:build unix

package main

// excuse returns the reason why a client cannot pass a row, whatever the server
// does; empty if it can.
func excuse(client, row string) string { return ownFaults[[2]string{client, row}] }

var ownFaults = map[[2]string]string{}

// Package source holds the sources that ship with Weir, and the list of their
// kinds, [Kinds], from which a program makes sources by name:
//
//	sensor         simulated readings of a room
//	host           readings of this machine and process
//	stdin          the lines of standard input
//	file:PATH      the lines that are added to a file, followed across rotation and restart
//	exec:COMMAND   the lines that a program prints
//	http           nothing of its own: events come by POST /publish
//
// A line is one event: JSON where it is a well-formed object or array, text
// otherwise. Line ends, LF or CRLF, are no part of it, empty lines are left
// out, and a last line counts without its line end. A line longer than
// [MaxLine] is counted as one failure and skipped, whatever its length.
//
// The sources may be run again after Run has returned, by one goroutine at a
// time. Events that the broker cannot take at present are lost where they are
// readings, since the next one is newer; lines wait.
package source

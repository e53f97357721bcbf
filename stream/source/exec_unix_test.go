//go:build unix

package source_test

// execCommands are programs that print now and then, each of another temper.
var execCommands = map[string]string{
	"ends at the end of its input": "( while sleep 0.01; do echo line; done ) & cat; kill $!",
	"ends by signals only":         "while sleep 0.01; do echo line; done",
	"ends by itself":               "echo line",
	"fails":                        "echo line; exit 3",
}

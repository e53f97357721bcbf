//go:build !unix

package source_test

// execCommands are programs that print now and then, each of another temper.
var execCommands = map[string]string{
	"ends by itself": "echo line",
	"fails":          "echo line& exit 3",
}

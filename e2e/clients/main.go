//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"weir/e2e/certificate"
)

// patience is how long a condition may take to come true.
const patience = 30 * time.Second

// A config is what the command line says.
type config struct {
	rows, clients *regexp.Regexp
	binary        string // of weir; empty: built from the source
	env           []string
	readme        string // file in which the table is replaced
	format        string // that clients ask for, beside those that show HTML
	verbose       bool
	idle          time.Duration // for which the clients that fail are waited for
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "read" {
		readAsWeir(os.Args[2]) // one of the clients
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("clients", flag.ContinueOnError)
	rows := flags.String("rows", ".", "run only the rows that this `regexp` matches")
	clients := flags.String("clients", ".", "run only the clients that this `regexp` matches")
	env := flags.String("env", "", "`variables` of every server, as NAME=VALUE, separated by blanks")
	var c config
	flags.StringVar(&c.binary, "binary", "", "test this `file` in place of a server built from the source")
	flags.StringVar(&c.readme, "readme", "", "replace the table in this `file`, between its markers")
	flags.StringVar(&c.format, "format", "data", "`name` of the format that clients read: data or json")
	flags.BoolVar(&c.verbose, "v", false, "show what each failing client saw")
	flags.DurationVar(&c.idle, "idle", patience, "how `long` a client is waited for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if c.rows, err = regexp.Compile(*rows); err != nil {
		return err
	}
	if c.clients, err = regexp.Compile(*clients); err != nil {
		return err
	}
	c.env = strings.Fields(*env)

	// nginx's workers may have a user of their own.
	dir, err := os.MkdirTemp("", "weir-clients-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	m, err := newMatrix(ctx, c, dir, out)
	if err != nil {
		return err
	}
	defer m.close()
	return m.run(ctx)
}

// A matrix is one run of everything.
type matrix struct {
	config
	out     io.Writer
	dir     string // for what the run leaves behind
	here    string // this folder
	root    string // the repository
	goRead  string // the program of golang/
	cert    *certificate.Certificate
	browser *browser
	clients []client
	table   *table
}

func newMatrix(ctx context.Context, c config, dir string, out io.Writer) (*matrix, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	m := &matrix{config: c, out: out, dir: dir, root: root, here: filepath.Join(root, "e2e", "clients")}
	if _, err := os.Stat(filepath.Join(m.here, "npm", "node_modules")); err != nil {
		return nil, errors.New("the npm clients are not installed: make clients installs them")
	}
	if m.binary == "" {
		m.binary = filepath.Join(dir, "weir")
		if err := build(root, m.binary, "./cmd/weir"); err != nil {
			return nil, err
		}
	} else if m.binary, err = filepath.Abs(m.binary); err != nil {
		return nil, err
	}
	m.goRead = filepath.Join(dir, "read")
	if err := build(filepath.Join(m.here, "golang"), m.goRead, "."); err != nil {
		return nil, err
	}
	if m.cert, err = certificate.Make(dir, nil); err != nil {
		return nil, err
	}
	for _, c := range allClients {
		if m.config.clients.MatchString(c.name) {
			m.clients = append(m.clients, c)
		}
	}
	if m.browser, err = startBrowser(ctx, m); err != nil {
		return nil, err
	}
	m.table = newTable(m.clients)
	return m, nil
}

func (m *matrix) close() { m.browser.close() }

// repository finds the folder in which go.mod says that this is Weir.
func repository() (string, error) {
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if text, e := os.ReadFile(filepath.Join(dir, "go.mod")); e == nil && strings.HasPrefix(string(text), "module weir\n") {
			return dir, nil
		}
		dir = filepath.Dir(dir)
	}
	return "", errors.New("run this within Weir's repository")
}

func build(dir, to, what string) error {
	cmd := exec.Command("go", "build", "-o", to, what)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s in %s: %w\n%s", what, dir, err, text)
	}
	return nil
}

// run runs the rows one after another, and prints the table.
func (m *matrix) run(ctx context.Context) error {
	began := time.Now()
	for _, s := range scenarios {
		if !m.rows.MatchString(s.name) {
			continue
		}
		start := time.Now()
		m.table.rows = append(m.table.rows, s.name)
		err := m.play(ctx, s)
		fmt.Fprintf(m.out, "%-48s %5.1f s\n", s.name, time.Since(start).Seconds())
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	m.table.print(m.out)
	fmt.Fprintf(m.out, "\n%d clients, %d rows, %.0f s\n", len(m.clients), len(m.table.rows), time.Since(began).Seconds())
	if m.readme != "" {
		if err := m.table.writeInto(m.readme, m.versions()); err != nil {
			return err
		}
	}
	passed, excused, failed := m.table.count()
	fmt.Fprintf(m.out, "%d passed, %d failed, %d skipped\n", passed, failed, excused)
	if failed > 0 {
		return fmt.Errorf("%d cells fail", failed)
	}
	return nil
}

// play runs one row with all clients.
func (m *matrix) play(ctx context.Context, s scenario) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	r := &row{matrix: m, ctx: ctx, scenario: s, dir: filepath.Join(m.dir, fmt.Sprint(len(m.table.rows)))}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		return err
	}
	defer r.close()
	if err := s.play(r); err != nil {
		return err
	}
	for _, reader := range r.readers {
		problems := r.judge(reader)
		m.table.set(reader.client, s.name, problems)
		if len(problems) > 0 {
			note := ""
			if excuse(reader.client.name, s.name) != "" {
				note = " (its own fault)"
			}
			fmt.Fprintf(m.out, "  %-28s %s%s\n", reader.client.name, strings.Join(problems, "; "), note)
			if m.verbose {
				reader.dump(m.out)
			}
		}
	}
	return nil
}

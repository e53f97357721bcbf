//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// startRedis runs a Redis in dir, and returns its address.
func startRedis(dir string) (*process, string, error) {
	path, err := find("redis-server")
	if err != nil {
		return nil, "", err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	host, port, _ := net.SplitHostPort(addr)
	p, err := startProcess("redis-server", exec.Command(path, "--bind", host, "--port", port, "--dir", dir, "--save", "", "--loglevel", "warning"))
	if err != nil {
		return nil, "", err
	}
	return p, addr, eventually("redis-server does not answer", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(conn, "PING\r\n")
		answer, _ := bufio.NewReader(conn).ReadString('\n')
		return answer == "+PONG\r\n"
	})
}

// startNginx runs nginx before the servers, and returns its address. The main
// file is the one that users copy, byte by byte, and the nodes have the options that
// they have there; where to listen and find the nodes is the run's own.
func (m *matrix) startNginx(dir string, servers ...*server) (*process, string, error) {
	path, err := find("nginx")
	if err != nil {
		return nil, "", err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	plain, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	main, err := os.ReadFile(filepath.Join(m.root, "e2e", "stack", "nginx", "nginx.conf"))
	if err != nil {
		return nil, "", err
	}
	shipped, err := os.ReadFile(filepath.Join(m.root, "e2e", "stack", "nginx", "weir", "nodes.conf"))
	if err != nil {
		return nil, "", err
	}
	options := regexp.MustCompile(`(?m)^server \S+( [^;]*)?;`).FindSubmatch(shipped)
	if options == nil {
		return nil, "", errors.New("e2e/stack/nginx/weir/nodes.conf names no server")
	}
	nodes, temp := "", ""
	for _, s := range servers {
		nodes += fmt.Sprintf("server %s%s;\n", s.addr, options[1])
	}
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += kind + "_temp_path temp-" + kind + ";\n" // those of the system's package may be root's
	}
	files := map[string]string{
		"nginx.conf":         string(main),
		"weir/listen.conf":   fmt.Sprintf("listen %s ssl http2;\nssl_certificate %s;\nssl_certificate_key %s;\naccess_log access.log weir;\n%s", addr, m.cert.File, m.cert.KeyFile, temp),
		"weir/redirect.conf": fmt.Sprintf("listen %s;\naccess_log off;\n%s", plain, temp),
		"weir/nodes.conf":    nodes,
		"weir/names.conf":    "map $arg_node $weir_node { default weir; }\n", // no page of Weir's is among the clients
	}
	if err := os.MkdirAll(filepath.Join(dir, "weir"), 0o755); err != nil {
		return nil, "", err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, "", err
		}
	}
	p, err := startProcess("nginx", exec.Command(path, "-e", "stderr", "-p", dir, "-c", "nginx.conf",
		"-g", "daemon off; error_log stderr notice; pid "+filepath.Join(dir, "nginx.pid")+";"))
	if err != nil {
		return nil, "", err
	}
	return p, addr, eventually("nginx does not listen", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func find(names ...string) (string, error) {
	for _, name := range names {
		for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
			if path, err := exec.LookPath(dir + name); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s is needed: make deps installs it", names[0])
}

// freeAddr returns an address at which nobody listens.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

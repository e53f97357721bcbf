package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/web/rights"
)

// reloadPatience is how long reading tokens and the certificate may take before
// that is told. A file may be a FIFO, or lie on a disk that hangs.
const reloadPatience = 5 * time.Second

// secrets are the tokens and the certificate, which SIGHUP reads again.
type secrets struct {
	cfg    *config
	logger *slog.Logger
	access *rights.Rights
	cert   atomic.Pointer[tls.Certificate] // nil: no TLS
	// revoked ends the streams of tokens that are gone. It is set before the
	// first reload.
	revoked func()

	mu      sync.Mutex
	reading bool // a reload is under way
	again   bool // and the files may have changed since it began
}

func loadSecrets(cfg *config, logger *slog.Logger) (*secrets, error) {
	s := &secrets{cfg: cfg, logger: logger}
	read := make(chan error, 1)
	go func() {
		pair, err := cfg.certificate()
		if err == nil {
			s.access, err = rights.New(cfg.rights)
		}
		s.cert.Store(pair)
		read <- err
	}()
	select {
	case err := <-read:
		if err != nil {
			return nil, usageError{err}
		}
		return s, nil
	case <-time.After(reloadPatience):
		return nil, setupError{fmt.Errorf("tokens and certificate cannot be read within %v", reloadPatience)}
	}
}

// certificate reads the certificate; it is nil without TLS.
func (c *config) certificate() (*tls.Certificate, error) {
	if c.tlsCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.tlsCert, c.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	return &pair, nil
}

// reload reads the secrets again, and does not wait until they are read. A fault
// in either leaves both as they were.
func (s *secrets) reload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading {
		s.again = true
		s.logger.Warn("the files are being read: they are read once more after that")
		return
	}
	s.reading = true
	go func() {
		for again := true; again; {
			s.read()
			s.mu.Lock()
			again = s.again
			s.again, s.reading = false, again
			s.mu.Unlock()
		}
	}()
}

func (s *secrets) read() {
	late := time.AfterFunc(reloadPatience, func() {
		s.logger.Error("reload hangs, the old settings stay: a file may be a FIFO, or its disk does not answer", "after", reloadPatience.String())
	})
	defer late.Stop()
	pair, err := s.cfg.certificate()
	if err == nil {
		err = s.access.Reload()
	}
	if err != nil {
		s.logger.Error("reload failed, the old settings stay", "error", err)
		return
	}
	s.cert.Store(pair)
	s.revoked()
	s.logger.Info("tokens and certificate read again")
}

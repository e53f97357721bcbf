package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"weir/web/rights"
)

// reloadPatience is how long reading tokens and the certificate may take before
// that is told. A file may be a FIFO, or lie on a disk that hangs.
const reloadPatience = 5 * time.Second

// secrets are the tokens and the certificate, which SIGHUP reads again.
type secrets struct {
	cfg     *config
	logger  *slog.Logger
	access  *rights.Rights
	cert    atomic.Pointer[tls.Certificate] // nil: no TLS
	reading atomic.Bool
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
	if !s.reading.CompareAndSwap(false, true) {
		s.logger.Error("reload failed, the old settings stay", "error", "the reload before hangs")
		return
	}
	late := time.AfterFunc(reloadPatience, func() {
		s.logger.Error("reload hangs, the old settings stay so far", "after", reloadPatience.String())
	})
	go func() {
		defer s.reading.Store(false)
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
		s.logger.Info("tokens and certificate read again")
	}()
}

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"

	"weir/web/rights"
)

// maxCertificate is the largest file of a certificate or key, in bytes.
const maxCertificate = 1 << 20

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
	pair, err := cfg.certificate()
	if err == nil {
		s.cert.Store(pair)
		s.access, err = rights.New(cfg.rights)
	}
	switch {
	case errors.Is(err, rights.ErrSilent), errors.As(err, new(*fs.PathError)): // it may be readable later
		return nil, err
	case err != nil:
		return nil, usageError{err}
	}
	return s, nil
}

// certificate reads the certificate; it is nil without TLS.
func (c *config) certificate() (*tls.Certificate, error) {
	if c.tlsCert == "" {
		return nil, nil
	}
	var pair tls.Certificate
	cert, err := rights.ReadFile(c.tlsCert, maxCertificate)
	if err == nil {
		var key []byte
		if key, err = rights.ReadFile(c.tlsKey, maxCertificate); err == nil {
			pair, err = tls.X509KeyPair(cert, key)
		}
	}
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

package stack_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var (
	prebuilt = flag.String("binary", "", "test this `file` in place of a server built from the source")
	restarts = flag.Duration("restarts", 15*time.Second, "how long TestEverythingRestartsUnderLoad goes on")
)

var (
	binary  string // the server under test
	workDir string // for everything that the run leaves behind

	// A certificate for 127.0.0.1 that nobody has signed but itself.
	certFile, keyFile string
	roots             = x509.NewCertPool()
	// pin is the hash by which the browser is told to trust it.
	pin string
)

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait more than they work: for drains, reloads and time-outs.
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set("4")
	}
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weir-stack-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		// nginx's workers may have a user of their own.
		err = os.Chmod(dir, 0o755)
	}
	workDir = dir
	for _, step := range []func() error{buildServer, makeCertificate} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		return 1
	}
	return m.Run()
}

func buildServer() error {
	if *prebuilt != "" {
		path, err := filepath.Abs(*prebuilt)
		binary = path
		return err
	}
	if _, err := os.Stat("../../web/dist/manifest.json"); err != nil {
		return errors.New("the page's assets are not built: run make build first")
	}
	binary = filepath.Join(workDir, "weir")
	if text, err := exec.Command("go", "build", "-o", binary, "weir/cmd/weir").CombinedOutput(); err != nil {
		return fmt.Errorf("building the server: %w\n%s", err, text)
	}
	return nil
}

func makeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "weir stack"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	roots.AddCert(cert)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	pin = base64.StdEncoding.EncodeToString(hash[:])
	certFile, keyFile = filepath.Join(workDir, "cert.pem"), filepath.Join(workDir, "key.pem")
	return errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

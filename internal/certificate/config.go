// Package certificate is how the server proves to TLS clients who it is: by certificates from files, which are read anew
// when the files change, or by one of its own making, for development.
package certificate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// Config says whether TLS is spoken, and with which certificate.
type Config struct {
	// CertFile and KeyFile are PEM files: the certificate, followed by those that lead to a root, and its key. They are
	// read again when they change.
	CertFile string `yaml:"cert_file" env:"CERT_FILE"`
	KeyFile  string `yaml:"key_file" env:"KEY_FILE"`

	// SelfSigned makes a certificate for localhost and the address that is listened on, for development.
	SelfSigned bool `yaml:"self_signed" env:"SELF_SIGNED"`

	// AllowPlain serves clients that do not speak TLS on the same port.
	AllowPlain bool `yaml:"allow_plain" env:"ALLOW_PLAIN"`
}

// Enabled tells whether TLS is spoken.
func (c *Config) Enabled() bool { return c.SelfSigned || c.CertFile != "" || c.KeyFile != "" }

// Validate reports what is wrong, with the name of the setting. It reads the files.
func (c *Config) Validate() error {
	switch {
	case !c.Enabled() && c.AllowPlain:
		return errors.New("allow_plain: there is no TLS to make an exception from: set cert_file and key_file, or self_signed")
	case !c.Enabled():
		return nil
	case c.SelfSigned && (c.CertFile != "" || c.KeyFile != ""):
		return errors.New("self_signed: there are cert_file and key_file too; take one or the other")
	case c.SelfSigned:
		return nil
	case c.CertFile == "" || c.KeyFile == "":
		return errors.New("cert_file and key_file are both needed")
	}
	_, err := load(c.CertFile, c.KeyFile)
	return err
}

// load reads a certificate and its key. The error names the setting that is wrong.
func load(certFile, keyFile string) (*tls.Certificate, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("cert_file: %w", err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("cert_file %s and key_file %s are no certificate and its key: %w", certFile, keyFile, err)
	}
	return &pair, nil
}

// Open returns what a server needs to speak TLS: HTTP/2 and HTTP/1.1, with TLS 1.2 at least. A certificate of its own
// making is kept in the directory dir, and is good for host too, unless that is "".
func (c *Config) Open(dir, host string, logger *slog.Logger) (*tls.Config, error) {
	f := &Files{certFile: c.CertFile, keyFile: c.KeyFile, logger: logger}
	if c.SelfSigned {
		own := &selfSigned{dir: dir, hosts: hosts(host), logger: logger}
		if err := own.ensure(); err != nil {
			return nil, err
		}
		f.certFile, f.keyFile, f.expired = own.path(certName), own.path(keyName), own.ensure
	}
	if err := f.open(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: f.Certificate,
	}, nil
}

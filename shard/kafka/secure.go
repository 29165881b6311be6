package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// newDialer reads the files that the settings name. They are read through vfs, as all files of the engines are.
func newDialer(opts Options) (*dialer, error) {
	config := opts.Config
	d := &dialer{timeout: config.DialTimeout, connect: opts.dial}
	var err error
	if d.tls, err = config.TLS.load(vfs.OS()); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	if d.mechanism, err = config.SASL.mechanism(); err != nil {
		return nil, fmt.Errorf("sasl: %w", err)
	}
	return d, nil
}

func (c TLSConfig) load(fs vfs.FS) (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := readFile(fs, c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s has no certificate in PEM", c.CAFile)
		}
	}
	if c.CertFile == "" {
		return config, nil
	}
	cert, err := readFile(fs, c.CertFile)
	if err != nil {
		return nil, fmt.Errorf("cert_file: %w", err)
	}
	key, err := readFile(fs, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cert_file %s and key_file %s: %w", c.CertFile, c.KeyFile, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

const maxFileBytes = 4 << 20

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, 0, maxFileBytes))
}

func (c SASLConfig) mechanism() (sasl.Mechanism, error) {
	switch c.Mechanism {
	case mechanismPlain:
		return plain.Mechanism{Username: c.User, Password: c.Password}, nil
	case mechanismScram256:
		return scram.Mechanism(scram.SHA256, c.User, c.Password)
	case mechanismScram512:
		return scram.Mechanism(scram.SHA512, c.User, c.Password)
	}
	return nil, nil
}

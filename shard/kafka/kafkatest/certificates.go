package kafkatest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Security is what clients need for the listeners of a cluster that was started with Options.Secure.
type Security struct {
	User     string // for SASL, and the name in the client's certificate
	Password string

	CAFile     string // PEM, signed the brokers' certificates
	CertFile   string // PEM, the client's certificate, for MTLS
	KeyFile    string // PEM, its key
	OtherCA    string // PEM, of an authority that signed nothing here
	brokerFile string // PEM, the brokers' key and certificate
}

// Certificates are good for the life of a test and some slack for clocks that are off.
const certificateLife = 24 * time.Hour

// makeSecurity writes certificates below dir.
func makeSecurity(dir string) (*Security, error) {
	s := &Security{
		User: "sluice-test", Password: rand.Text(),
		CAFile: filepath.Join(dir, "ca.pem"), OtherCA: filepath.Join(dir, "other-ca.pem"),
		CertFile: filepath.Join(dir, "client.pem"), KeyFile: filepath.Join(dir, "client-key.pem"),
		brokerFile: filepath.Join(dir, "broker.pem"),
	}
	ca, err := newAuthority("Test CA")
	if err != nil {
		return nil, err
	}
	other, err := newAuthority("Another CA")
	if err != nil {
		return nil, err
	}
	brokerCert, brokerKey, err := ca.sign("broker", x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	clientCert, clientKey, err := ca.sign(s.User, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	return s, errors.Join(
		os.WriteFile(s.CAFile, ca.encoded, 0o600),
		os.WriteFile(s.OtherCA, other.encoded, 0o600),
		os.WriteFile(s.CertFile, clientCert, 0o600),
		os.WriteFile(s.KeyFile, clientKey, 0o600),
		os.WriteFile(s.brokerFile, bytes.Join([][]byte{brokerKey, brokerCert}, nil), 0o600),
	)
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	encoded     []byte // the certificate as PEM
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := template(name)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key, encode("CERTIFICATE", der)}, nil
}

// sign makes a key and its certificate for this machine, both as PEM.
func (a *authority) sign(name string, usage ...x509.ExtKeyUsage) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := template(name)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = usage
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	template.DNSNames = []string{"localhost"}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &private.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", encodedKey), nil
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-certificateLife),
		NotAfter:     time.Now().Add(certificateLife),
	}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

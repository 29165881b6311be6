package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A certificate of one's own making is three files in a directory that only this user can read: the certificate, its
// key, and the authority that vouches for it, which is what clients are told to trust. The authority's key is forgotten
// at once, so that nobody can use it to vouch for anything else. (A certificate that vouches for itself would be simpler,
// but not all clients accept one.)
const (
	certName      = "cert.pem"
	keyName       = "key.pem"
	authorityName = "ca.pem"

	validity = 397 * 24 * time.Hour // the longest that all clients accept
)

type selfSigned struct {
	dir    string
	hosts  []string
	logger *slog.Logger
}

func (s *selfSigned) path(name string) string { return filepath.Join(s.dir, name) }

// hosts are the names and addresses that a certificate is good for when the server listens on one host. Without one,
// it listens on all addresses of this machine.
func hosts(listen string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if ip := net.ParseIP(listen); listen == "" || ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil && name != "" && name != "localhost" {
			names = append(names, name)
		}
	} else if !slices.Contains(names, listen) {
		names = append(names, listen)
	}
	return names
}

// ensure makes a certificate unless there is one that can be used.
func (s *selfSigned) ensure() error {
	why := s.unusable(time.Now())
	if why == "" {
		return s.told("certificate of one's own: clients have to trust the authority")
	}
	if err := s.make(time.Now()); err != nil {
		return fmt.Errorf("self_signed: make a certificate: %w", err)
	}
	s.logger.Info("made a certificate", "why", why, "for", s.hosts)
	return s.told("certificate of one's own: clients have to trust the new authority")
}

func (s *selfSigned) told(message string) error {
	text, err := os.ReadFile(s.path(authorityName))
	if err != nil {
		return fmt.Errorf("self_signed: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("self_signed: %s is no PEM file", s.path(authorityName))
	}
	s.logger.Info(message, "authority", s.path(authorityName), "sha256", Fingerprint(block.Bytes))
	return nil
}

// unusable tells why the certificate that is there cannot be used; "" if it can.
func (s *selfSigned) unusable(now time.Time) string {
	if _, err := os.Stat(s.path(authorityName)); err != nil {
		return "there is none"
	}
	pair, err := load(s.path(certName), s.path(keyName))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "there is none"
	case err != nil:
		return err.Error()
	case !now.Before(pair.Leaf.NotAfter):
		return "the one before has expired"
	}
	for _, host := range s.hosts {
		if pair.Leaf.VerifyHostname(host) != nil {
			return "the one before is not for " + host
		}
	}
	return ""
}

func (s *selfSigned) make(now time.Time) error {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authority := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Sluice development authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	if authority, err = x509.ParseCertificate(authorityDER); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Sluice"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range s.hosts {
		if ip := net.ParseIP(host); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, host)
		}
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), authorityKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return s.write(authorityDER, leafDER, keyDER)
}

// write puts the files in their place. A crash between two of them leaves what does not belong together, which the
// next start finds out and replaces.
func (s *selfSigned) write(authority, leaf, key []byte) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for _, f := range []struct {
		name string
		text []byte
	}{
		{authorityName, encode("CERTIFICATE", authority)},
		{keyName, encode("PRIVATE KEY", key)},
		{certName, append(encode("CERTIFICATE", leaf), encode("CERTIFICATE", authority)...)},
	} {
		if err := replace(s.path(f.name), f.text); err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file that only this user can read, as a whole or not at all.
func replace(path string, text []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}

func serial() *big.Int {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	return new(big.Int).SetBytes(random[:])
}

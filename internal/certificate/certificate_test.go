package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// made makes a certificate that was made so long ago.
func made(t *testing.T, dir string, ago time.Duration, names ...string) *selfSigned {
	t.Helper()
	s := &selfSigned{dir: dir, hosts: names, logger: quiet}
	if err := s.make(time.Now().Add(-ago)); err != nil {
		t.Fatal(err)
	}
	return s
}

// serial is that of the certificate that is used for a handshake now.
func (f *Files) serial(t *testing.T) string {
	t.Helper()
	c, err := f.Certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.SerialNumber.String()
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), &bytes.Buffer{}
		s := made(t, dir, 0, "localhost")
		f := &Files{certFile: s.path(certName), keyFile: s.path(keyName), logger: slog.New(slog.NewTextHandler(log, nil))}
		if err := f.open(); err != nil {
			t.Fatal(err)
		}
		first := f.serial(t)

		made(t, dir, 0, "localhost")
		if f.serial(t) != first {
			t.Error("the files were looked at twice within a second")
		}
		time.Sleep(checkInterval)
		second := f.serial(t)
		if second == first {
			t.Fatal("a new certificate is not used")
		}

		if err := os.WriteFile(f.certFile, []byte("no certificate"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(checkInterval)
			if f.serial(t) != second {
				t.Error("a bad file has replaced a good certificate")
			}
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "the one before it stays in use") {
			t.Errorf("%d errors in the log, want one:\n%s", n, log)
		}

		if err := os.Remove(f.keyFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(checkInterval)
		if f.serial(t) != second {
			t.Error("the certificate went away with its file")
		}

		made(t, dir, 0, "localhost")
		time.Sleep(checkInterval)
		if third := f.serial(t); third == second {
			t.Error("a good certificate after a bad one is not used")
		}
	})
}

func TestOnesOwnCertificateIsTrustedByWhoTrustsItsAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "tls")
	c := Config{SelfSigned: true}
	config, err := c.Open(dir, "sluice.example", quiet)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, authorityName))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("no certificate in the authority's file")
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "sluice.example"} {
		client, server := net.Pipe()
		go func() { _ = tls.Server(server, config).Handshake() }()
		if err := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: name}).Handshake(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = client.Close()
		_ = server.Close()
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: mode %v, %v", info.Mode(), err)
	}
	block, _ := pem.Decode(text)
	authority, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !authority.IsCA {
		t.Errorf("authority %v, %v", authority, err)
	}
}

func TestOnesOwnCertificateIsKeptUntilItIsOfNoUse(t *testing.T) {
	open := func(dir, host string) string {
		t.Helper()
		c := Config{SelfSigned: true}
		config, err := c.Open(dir, host, quiet)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := config.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return certificate.Leaf.SerialNumber.String()
	}
	dir := t.TempDir()
	first := open(dir, "127.0.0.1")
	if open(dir, "127.0.0.1") != first || open(dir, "localhost") != first {
		t.Error("a good certificate was replaced")
	}
	other := open(dir, "192.0.2.7")
	if other == first {
		t.Error("the certificate is not for the address that is listened on")
	}
	made(t, dir, validity+time.Hour, "localhost", "127.0.0.1", "::1", "192.0.2.7")
	if again := open(dir, "192.0.2.7"); again == other || open(dir, "192.0.2.7") != again {
		t.Error("one that has expired was kept, or its successor not")
	}
	for _, name := range []string{authorityName, certName, keyName} {
		before := open(dir, "192.0.2.7")
		if err := os.WriteFile(filepath.Join(dir, name), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == authorityName {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if open(dir, "192.0.2.7") == before {
			t.Errorf("a certificate whose %s is bad was kept", name)
		}
	}
}

func TestOnesOwnCertificateIsReplacedWhileTheServerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{SelfSigned: true}
		config, err := c.Open(t.TempDir(), "", quiet)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := config.GetCertificate(nil)
		time.Sleep(validity + time.Minute)
		after, _ := config.GetCertificate(nil)
		if !time.Now().Before(after.Leaf.NotAfter) || after == before {
			t.Errorf("at %v the certificate is good until %v", time.Now(), after.Leaf.NotAfter)
		}
	})
}

func TestBadSettingsAreToldApart(t *testing.T) {
	dir := t.TempDir()
	s, other := made(t, dir, 0, "localhost"), made(t, t.TempDir(), 0, "localhost")
	cert, key := s.path(certName), s.path(keyName)
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, ""},
		{Config{SelfSigned: true, AllowPlain: true}, ""},
		{Config{CertFile: cert, KeyFile: key}, ""},
		{Config{AllowPlain: true}, "allow_plain: there is no TLS"},
		{Config{CertFile: cert}, "both needed"},
		{Config{KeyFile: key}, "both needed"},
		{Config{CertFile: cert, KeyFile: key, SelfSigned: true}, "self_signed: there are cert_file and key_file too"},
		{Config{CertFile: filepath.Join(dir, "missing"), KeyFile: key}, "cert_file: open "},
		{Config{CertFile: cert, KeyFile: filepath.Join(dir, "missing")}, "key_file: open "},
		{Config{CertFile: cert, KeyFile: other.path(keyName)}, "private key does not match public key"},
		{Config{CertFile: key, KeyFile: cert}, "are no certificate and its key"},
	} {
		err := c.config.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		}
	}
}

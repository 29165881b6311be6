package node

import (
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/internal/client"
)

func TestANodeSpeaksTLSWithACertificateOfItsOwn(t *testing.T) {
	config := testConfig(t)
	config.TLS.SelfSigned = true
	authority := filepath.Join(config.Data, "tls", "ca.pem")
	var before []byte
	for range 2 { // the second time with the certificate of the first
		n := start(t, config, nil)
		c, err := client.New(client.Options{
			Endpoint: "https://" + n.Addr().String(), Region: "us-east-1", AccessKey: "any", SecretKey: "any", CAFile: authority,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.DescribeStreamSummary(t.Context(), "missing"); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
			t.Errorf("an answer over TLS: %v", err)
		}
		c.Close()
		stranger, err := client.New(client.Options{Endpoint: "https://" + n.Addr().String(), Region: "us-east-1", AccessKey: "any", SecretKey: "any"})
		if err != nil {
			t.Fatal(err)
		}
		var unknown x509.UnknownAuthorityError
		if _, err := stranger.DescribeStreamSummary(t.Context(), "missing"); !errors.As(err, &unknown) {
			t.Errorf("who does not trust the authority: %v", err)
		}
		stranger.Close()
		text, err := os.ReadFile(authority)
		if err != nil || before != nil && string(before) != string(text) {
			t.Errorf("the authority has changed, %v", err)
		}
		before = text
		if status, _ := n.get("/readyz"); status != http.StatusOK {
			t.Errorf("health, which is plain HTTP: %d", status)
		}
		n.stop()
		if err := <-n.end; err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadTLSSettingsStopTheStart(t *testing.T) {
	config := testConfig(t)
	config.TLS.CertFile, config.TLS.KeyFile = "/nowhere/cert.pem", "/nowhere/key.pem"
	if _, err := New(config, Options{}); err == nil || !strings.Contains(err.Error(), "tls: cert_file: open /nowhere/cert.pem") {
		t.Errorf("start: %v", err)
	}
}

func TestPlainListenersForOthersAreWarnedOf(t *testing.T) {
	config := testConfig(t)
	config.Listen = "0.0.0.0:4566"
	config.Credentials = []Credential{{AccessKeyID: "a", SecretAccessKey: "s"}}
	for _, c := range []struct {
		set  func()
		warn bool
	}{
		{func() {}, true},
		{func() { config.TLS.SelfSigned = true }, false},
		{func() { config.TLS.AllowPlain = true }, true},
	} {
		c.set()
		if got := strings.Contains(strings.Join(config.Warnings(), "\n"), "takes plain HTTP"); got != c.warn {
			t.Errorf("%+v: %q", config.TLS, config.Warnings())
		}
	}
}

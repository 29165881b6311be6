package s3_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/sinks/s3"
)

func TestOptionsAreCheckedByName(t *testing.T) {
	good := s3.Config{Endpoint: "http://127.0.0.1:9000", AccessKey: "access", SecretKey: "secret"}
	for _, c := range []struct {
		name   string
		change func(*s3.Config)
		words  []string // none: valid
	}{
		{"good", func(*s3.Config) {}, nil},
		{"no scheme", func(c *s3.Config) { c.Endpoint = "store.example.com:9000" }, nil},
		{"slash at the end", func(c *s3.Config) { c.Endpoint = "https://store.example.com/" }, nil},
		{"IPv6", func(c *s3.Config) { c.Endpoint = "http://[::1]:9000" }, nil},
		{"capitals", func(c *s3.Config) { c.Endpoint = "HTTPS://store.example.com" }, nil},
		{"no endpoint", func(c *s3.Config) { c.Endpoint = "" }, []string{"endpoint"}},
		{"another scheme", func(c *s3.Config) { c.Endpoint = "ftp://store" }, []string{"endpoint", "ftp"}},
		{"s3 address", func(c *s3.Config) { c.Endpoint = "s3://bucket" }, []string{"endpoint", "http://"}},
		{"a bucket", func(c *s3.Config) { c.Endpoint = "https://store/bucket" }, []string{"endpoint", "bucket"}},
		{"a query", func(c *s3.Config) { c.Endpoint = "https://store?x=1" }, []string{"endpoint"}},
		{"no host", func(c *s3.Config) { c.Endpoint = "https://" }, []string{"endpoint", "host"}},
		{"no address", func(c *s3.Config) { c.Endpoint = "http://a b" }, []string{"endpoint"}},
		{"a password", func(c *s3.Config) { c.Endpoint = "https://user:hunter2@store" }, []string{"endpoint", "access_key"}},
		{"no access key", func(c *s3.Config) { c.AccessKey = "" }, []string{"access_key"}},
		{"no secret key", func(c *s3.Config) { c.SecretKey = "" }, []string{"secret_key"}},
		{"negative timeout", func(c *s3.Config) { c.Timeout = -1 }, []string{"timeout"}},
		{"verify and do not", func(c *s3.Config) { c.CAFile, c.InsecureSkipVerify = "ca.pem", true }, []string{"ca_file"}},
		{"two things", func(c *s3.Config) { c.Endpoint, c.Timeout = "", -1 }, []string{"endpoint", "timeout"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := good
			config.SpoolDir = t.TempDir()
			c.change(&config)
			err := config.Validate()
			_, newErr := s3.New(config)
			if (err == nil) != (len(c.words) == 0) || (newErr == nil) != (err == nil) {
				t.Fatalf("Validate: %v, New: %v", err, newErr)
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error does not say %q: %v", word, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

func TestFilesThatOptionsNameAreReadAtTheStart(t *testing.T) {
	dir := t.TempDir()
	rubbish := filepath.Join(dir, "rubbish.pem")
	if err := os.WriteFile(rubbish, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, config := range []s3.Config{
		{CAFile: filepath.Join(dir, "missing.pem")},
		{CAFile: rubbish},
		{SpoolDir: filepath.Join(rubbish, "below")},
	} {
		config.Endpoint, config.AccessKey, config.SecretKey = "https://store", "access", "secret"
		if _, err := s3.New(config); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("New(%+v): %v, want an error that names the file", config, err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	config := s3.Config{Endpoint: "https://store", AccessKey: "access", SecretKey: "hunter2", SessionToken: "hunter2"}
	for _, verb := range []string{"%v", "%+v", "%s"} {
		if got := fmt.Sprintf(verb, config) + fmt.Sprintf(verb, &config); strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

func TestSpoolFilesOfAProcessThatDiedAreRemoved(t *testing.T) {
	config := s3.Config{Endpoint: "https://store", AccessKey: "access", SecretKey: "secret", SpoolDir: t.TempDir()}
	for _, name := range []string{"sluice-s3-123.spool", "somebody-else's"} {
		if err := os.WriteFile(filepath.Join(config.SpoolDir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s3.New(config); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, config.SpoolDir); len(got) != 1 || got[0] != "somebody-else's" {
		t.Errorf("spool directory holds %q", got)
	}
}

package all_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/sinks/all"
	"github.com/seed-462d9463/sluice/sinks/s3"
)

func TestBucketsAreDirectoriesUnlessAnObjectStoreIsConfigured(t *testing.T) {
	dir := t.TempDir()
	opener, err := all.Open(all.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opener.Close() }()
	sink, err := opener.Open("bucket")
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Put(t.Context(), sinks.Object{Key: "dir/key", Body: strings.NewReader("content")}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "buckets", "bucket", "dir", "key"))
	if err != nil || string(got) != "content" {
		t.Errorf("content %q, %v", got, err)
	}
}

func TestAnObjectStoreSpoolsBelowTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	opener, err := all.Open(all.Config{
		DataDir: dir,
		S3:      s3.Config{Endpoint: "http://127.0.0.1:1", AccessKey: "access", SecretKey: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := opener.(*s3.Opener); !ok {
		t.Errorf("opener is a %T", opener)
	}
	if err := opener.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "buckets")); !os.IsNotExist(err) {
		t.Errorf("a directory for buckets was made: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "spool")); err != nil || info.Mode().Type() != fs.ModeDir {
		t.Errorf("spool: %v, %v", info, err)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, config := range map[string]all.Config{
		"endpoint":   {},
		"access_key": {DataDir: t.TempDir(), S3: s3.Config{Endpoint: "http://store"}},
		"secret_key": {DataDir: t.TempDir(), S3: s3.Config{AccessKey: "access", SecretKey: "secret"}},
	} {
		for call, err := range map[string]error{"Validate": config.Validate(), "Open": openError(config)} {
			if err == nil || !strings.Contains(err.Error(), name) || !strings.HasPrefix(err.Error(), "s3: ") {
				t.Errorf("%s: %v, want an error on s3: … %s", call, err, name)
			}
		}
	}
}

func openError(config all.Config) error {
	_, err := all.Open(config)
	return err
}

func TestOptionsComeFromFileAndEnvironment(t *testing.T) {
	yes := true
	want := all.Config{S3: s3.Config{
		Endpoint: "http://store:9000", AccessKey: "access", SecretKey: "secret", SessionToken: "token", Region: "eu-west-1",
		PathStyle: &yes, CAFile: "ca.pem", InsecureSkipVerify: true, CreateBuckets: true, Timeout: 90 * time.Second, SpoolDir: "spool",
	}}
	file := `
s3:
  endpoint: http://store:9000
  access_key: access
  secret_key: secret
  session_token: token
  region: eu-west-1
  path_style: true
  ca_file: ca.pem
  insecure_skip_verify: true
  create_buckets: true
  timeout: 90s
  spool_dir: spool
`
	var fromFile all.Config
	decoder := yaml.NewDecoder(strings.NewReader(file))
	decoder.KnownFields(true)
	if err := decoder.Decode(&fromFile); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, fromFile); diff != "" {
		t.Errorf("from the file (-want +got):\n%s", diff)
	}
	var fromEnvironment all.Config
	err := env.ParseWithOptions(&fromEnvironment, env.Options{Prefix: "SLUICE_", Environment: map[string]string{
		"SLUICE_S3_ENDPOINT": "http://store:9000", "SLUICE_S3_ACCESS_KEY": "access", "SLUICE_S3_SECRET_KEY": "secret",
		"SLUICE_S3_SESSION_TOKEN": "token", "SLUICE_S3_REGION": "eu-west-1", "SLUICE_S3_PATH_STYLE": "true",
		"SLUICE_S3_CA_FILE": "ca.pem", "SLUICE_S3_INSECURE_SKIP_VERIFY": "true", "SLUICE_S3_CREATE_BUCKETS": "true",
		"SLUICE_S3_TIMEOUT": "90s", "SLUICE_S3_SPOOL_DIR": "spool",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, fromEnvironment); diff != "" {
		t.Errorf("from the environment (-want +got):\n%s", diff)
	}
}

package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"time"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/ingest"
	"github.com/seed-462d9463/sluice/internal/api/kinesis"
	"github.com/seed-462d9463/sluice/internal/certificate"
	"github.com/seed-462d9463/sluice/internal/keyring"
	"github.com/seed-462d9463/sluice/sinks/all"
	"github.com/seed-462d9463/sluice/stream"
)

// Config is all that can be set for a node. The zero value is not usable; Default and Load give one.
type Config struct {
	// Listen is the address of the services. Without credentials it must be one of this machine's loopback.
	Listen string `yaml:"listen" env:"LISTEN"`

	// Admin is the address of /livez, /readyz, /metrics and /debug/pprof. It asks for no credentials, and
	// pprof answers callers on this machine only, whatever the address.
	Admin string `yaml:"admin" env:"ADMIN"`

	// Data is the directory that everything is kept in; with the log in Kafka, what is beside the log: buckets that
	// are directories, and objects on their way to an object store. One process at a time can use it.
	Data string `yaml:"data" env:"DATA"`

	// Account owns what is made with credentials that name no account: twelve digits.
	Account string `yaml:"account" env:"ACCOUNT"`

	// Region is the region of requests that are not signed. A signed request names its own.
	Region string `yaml:"region" env:"REGION"`

	// Credentials are the key pairs whose signatures are accepted. None: any request is, signed or not.
	Credentials []Credential `yaml:"credentials"`

	// AccessKeyID and SecretAccessKey are one more pair, for the environment.
	AccessKeyID     string `yaml:"-" env:"ACCESS_KEY_ID"`
	SecretAccessKey string `yaml:"-" env:"SECRET_ACCESS_KEY"`

	// ShutdownGrace is how long a request may still take when the node is told to stop.
	ShutdownGrace time.Duration `yaml:"shutdown_grace" env:"SHUTDOWN_GRACE"`

	Logging LoggingConfig `yaml:"logging" envPrefix:"LOGGING_"`

	// TLS says whether the services' listener speaks TLS. That of Admin does not.
	TLS certificate.Config `yaml:"tls" envPrefix:"TLS_"`

	// CORS says which web pages may call the API from a browser.
	CORS edge.CORSConfig `yaml:"cors" envPrefix:"CORS_"`

	// The parts' own settings. Streams' and Buckets' stand at the top of the file: limits, streams, s3.
	Streams  stream.Config   `yaml:",inline"`
	Fanout   fanout.Config   `yaml:",inline"`
	Kinesis  kinesis.Config  `yaml:",inline"`
	Firehose firehose.Config `yaml:"firehose" envPrefix:"FIREHOSE_"`
	Ingest   ingest.Config   `yaml:"ingest" envPrefix:"INGEST_"`
	Buckets  all.Config      `yaml:",inline"`
	Log      LogConfig       `yaml:"log" envPrefix:"LOG_"`

	Encryption keyring.Config `yaml:"encryption" envPrefix:"ENCRYPTION_"`
}

// MemoryLimit is where the garbage collector should begin to work harder, in bytes: what the log's cache and
// requests and subscriptions may hold, and what the rest of the process needs at its busiest. The process takes up to 50 MiB
// more at its peak: what is allocated while garbage is collected, and the program itself.
func (c *Config) MemoryLimit() int64 {
	return c.Log.memoryBytes() + edge.DefaultMemoryBytes + fanout.MemoryBytes + restBytes
}

const restBytes = 96 << 20

// Credential is a key pair of a client.
type Credential struct {
	AccessKeyID     string `yaml:"access_key_id"`
	SecretAccessKey string `yaml:"secret_access_key"`
	Account         string `yaml:"account"` // Config.Account if empty
}

// LoggingConfig is how the node says what it does; it goes to standard error.
type LoggingConfig struct {
	Level  string `yaml:"level" env:"LEVEL"`   // debug, info, warn or error
	Format string `yaml:"format" env:"FORMAT"` // text or json
}

// Handler has the form and level, and writes to w.
func (c LoggingConfig) Handler(w io.Writer) slog.Handler {
	options := &slog.HandlerOptions{Level: logLevels[c.Level]}
	if c.Format == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// Default is a node on this machine's loopback with its data in ./sluice-data.
func Default() Config {
	return Config{
		Listen:        "127.0.0.1:4566",
		Admin:         "127.0.0.1:4567",
		Data:          "sluice-data",
		Account:       "000000000000",
		Region:        "us-east-1",
		ShutdownGrace: 20 * time.Second, // Kubernetes kills after 30, and the log is still to be closed
		Logging:       LoggingConfig{Level: "info", Format: "text"},
		Streams:       stream.DefaultConfig(),
		Kinesis:       kinesis.DefaultConfig(),
		Fanout:        fanout.DefaultConfig(),
		Firehose:      firehose.DefaultConfig(),
		Ingest:        ingest.DefaultConfig(),
		Log:           defaultLogConfig(),
	}
}

var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	regionForm  = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
)

// Validate reports everything that is wrong, each with the name of the setting. A configuration that would
// serve strangers is refused: without credentials a node listens on loopback only.
func (c *Config) Validate() error {
	listen, err := resolve("listen", c.Listen)
	if err == nil {
		err = c.validateListen(listen)
	}
	problems := []error{err}
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	admin, err := resolve("admin", c.Admin)
	if err != nil {
		problems = append(problems, err)
	} else if listen != nil && overlap(listen, admin) {
		report("admin: %s and listen: %s overlap; each needs an address of its own", c.Admin, c.Listen)
	}
	if c.Data == "" {
		report("data: a directory is needed")
	}
	if !accountForm.MatchString(c.Account) {
		report("account: %q is not twelve digits", c.Account)
	}
	if !regionForm.MatchString(c.Region) {
		report("region: %q is not a region's name", c.Region)
	}
	if c.ShutdownGrace < 0 {
		report("shutdown_grace: %v is negative", c.ShutdownGrace)
	}
	if _, ok := logLevels[c.Logging.Level]; !ok {
		report("logging.level: %q is none of debug, info, warn and error", c.Logging.Level)
	}
	if c.Logging.Format != "text" && c.Logging.Format != "json" {
		report("logging.format: %q is neither text nor json", c.Logging.Format)
	}
	problems = append(problems, validateCredentials(c.Credentials), within("tls", c.TLS.Validate()),
		within("cors", c.CORS.Validate(len(c.Credentials) == 0)), c.Streams.Validate(), c.Fanout.Validate(), c.Kinesis.Validate(),
		within("firehose", c.Firehose.Validate()), within("ingest", c.Ingest.Validate()), within("log", c.Log.Validate()),
		within("encryption", c.validateKeys()))
	if c.Data != "" {
		buckets := c.buckets()
		problems = append(problems, buckets.Validate())
	}
	return errors.Join(problems...)
}

// buckets are the settings of the sinks, told where the data directory is.
func (c *Config) buckets() all.Config {
	buckets := c.Buckets
	buckets.DataDir = c.Data
	return buckets
}

// ObjectsIn is where objects are delivered to: a directory, or the address of an object store.
func (c *Config) ObjectsIn() string {
	buckets := c.buckets()
	if buckets.S3.Enabled() {
		return buckets.S3.Endpoint
	}
	return buckets.BucketsDir()
}

// within names the section that a part's settings stand in, for each of several problems.
func within(section string, err error) error {
	if err == nil {
		return nil
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		problems := several.Unwrap()
		named := make([]error, len(problems))
		for i, problem := range problems {
			named[i] = within(section, problem)
		}
		return errors.Join(named...)
	}
	return fmt.Errorf("%s: %w", section, err)
}

func validateCredentials(credentials []Credential) error {
	var problems []error
	seen := map[string]bool{}
	for i, credential := range credentials {
		name := fmt.Sprintf("credentials[%d]", i)
		switch {
		case credential.AccessKeyID == "" || credential.SecretAccessKey == "":
			problems = append(problems, fmt.Errorf("%s: access_key_id and secret_access_key are both needed", name))
		case seen[credential.AccessKeyID]:
			problems = append(problems, fmt.Errorf("%s: access_key_id %q is given twice", name, credential.AccessKeyID))
		}
		seen[credential.AccessKeyID] = true
		if credential.Account != "" && !accountForm.MatchString(credential.Account) {
			problems = append(problems, fmt.Errorf("%s: account %q is not twelve digits", name, credential.Account))
		}
	}
	return errors.Join(problems...)
}

func (c *Config) validateListen(address *net.TCPAddr) error {
	if len(c.Credentials) == 0 && !loopback(address) {
		return fmt.Errorf("listen: %s can be reached from other machines, and no credentials are set, so anyone "+
			"could read and write; set SLUICE_ACCESS_KEY_ID and SLUICE_SECRET_ACCESS_KEY, or credentials: in the "+
			"file, or listen on 127.0.0.1", c.Listen)
	}
	return nil
}

// Warnings are settings that are allowed but worth a second look.
func (c *Config) Warnings() []string {
	var warnings []string
	if a, err := resolve("admin", c.Admin); err == nil && !loopback(a) {
		warnings = append(warnings, fmt.Sprintf("admin: %s can be reached from other machines; metrics and health "+
			"are shown to anyone there", c.Admin))
	}
	if a, err := resolve("listen", c.Listen); err == nil && !loopback(a) && (!c.TLS.Enabled() || c.TLS.AllowPlain) {
		warnings = append(warnings, fmt.Sprintf("listen: %s takes plain HTTP; what is sent can be read on the way",
			c.Listen))
	}
	if warning := c.Log.warning(); warning != "" {
		warnings = append(warnings, "log: "+warning)
	}
	return warnings
}

// addEnvironmentCredential makes the pair from the environment the first of the list; it replaces one with the
// same access key.
func (c *Config) addEnvironmentCredential() error {
	id, secret := c.AccessKeyID, c.SecretAccessKey
	c.AccessKeyID, c.SecretAccessKey = "", ""
	if id == "" && secret == "" {
		return nil
	}
	if id == "" || secret == "" {
		return errors.New("environment: SLUICE_ACCESS_KEY_ID and SLUICE_SECRET_ACCESS_KEY belong together, and one is missing")
	}
	credentials := []Credential{{AccessKeyID: id, SecretAccessKey: secret}}
	for _, credential := range c.Credentials {
		if credential.AccessKeyID != id {
			credentials = append(credentials, credential)
		}
	}
	c.Credentials = credentials
	return nil
}

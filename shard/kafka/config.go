package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// Config is what an operator can set. The zero value is not valid; start from DefaultConfig.
type Config struct {
	// Brokers are the addresses, host:port, of some of the cluster's brokers. The others are found through them.
	Brokers []string `yaml:"brokers" env:"BROKERS"`
	// TopicPrefix is put before the name of every Kafka topic that this Sluice makes, so that several can live in
	// one cluster. Two nodes with the same prefix are the same Sluice: the one that was started last goes on, the
	// other one stops.
	TopicPrefix string `yaml:"topic_prefix" env:"TOPIC_PREFIX"`
	// Replication is the number of copies of new topics. 0: three where the cluster has three brokers, else one.
	// With three or more, a record is acknowledged when two copies have it.
	Replication int `yaml:"replication" env:"REPLICATION"`
	// AllowUnsafe starts although topics have settings with which Kafka may lose or drop records that were
	// acknowledged. They are named in the log.
	AllowUnsafe bool `yaml:"allow_unsafe" env:"ALLOW_UNSAFE"`
	// MaxInFlightBytes bounds the memory for records that wait for Kafka's acknowledgement, over all logs. Appends
	// wait while there is no room.
	MaxInFlightBytes int64 `yaml:"max_in_flight_bytes" env:"MAX_IN_FLIGHT_BYTES"`
	// DialTimeout is how long connecting to a broker may take, with TLS and SASL.
	DialTimeout time.Duration `yaml:"dial_timeout" env:"DIAL_TIMEOUT"`
	// RequestTimeout is how long a broker may take for an answer before it is asked again, or another one is.
	RequestTimeout time.Duration `yaml:"request_timeout" env:"REQUEST_TIMEOUT"`
	// CloseTimeout is how long the end of the process waits for what has been queued. What Kafka has not
	// acknowledged by then fails: it may be there or not.
	CloseTimeout time.Duration `yaml:"close_timeout" env:"CLOSE_TIMEOUT"`

	TLS  TLSConfig  `yaml:"tls" envPrefix:"TLS_"`
	SASL SASLConfig `yaml:"sasl" envPrefix:"SASL_"`
}

// TLSConfig is how brokers are spoken to in secret.
type TLSConfig struct {
	// Enabled turns TLS on.
	Enabled bool `yaml:"enabled" env:"ENABLED"`
	// CAFile holds the certificates, in PEM, of those who may sign the brokers'. Empty: the system's.
	CAFile string `yaml:"ca_file" env:"CA_FILE"`
	// CertFile and KeyFile hold this node's own certificate and its key, in PEM, where brokers ask for one.
	CertFile string `yaml:"cert_file" env:"CERT_FILE"`
	KeyFile  string `yaml:"key_file" env:"KEY_FILE"`
	// ServerName is the name that the brokers' certificates must have. Empty: that of each broker's address.
	ServerName string `yaml:"server_name" env:"SERVER_NAME"`
}

// SASLConfig is how this node says who it is.
type SASLConfig struct {
	// Mechanism is plain, scram-sha-256 or scram-sha-512. Empty: none.
	Mechanism string `yaml:"mechanism" env:"MECHANISM"`
	User      string `yaml:"user" env:"USER"`
	Password  string `yaml:"password" env:"PASSWORD"`
}

// DefaultConfig returns the settings for a cluster on this machine.
func DefaultConfig() Config {
	return Config{
		Brokers:          []string{"127.0.0.1:9092"},
		MaxInFlightBytes: 64 << 20,
		DialTimeout:      10 * time.Second,
		RequestTimeout:   15 * time.Second,
		CloseTimeout:     30 * time.Second,
	}
}

const maxPrefixLength = 64

var (
	prefixForm = regexp.MustCompile(`^[a-zA-Z0-9._-]*$`)
	mechanisms = []string{"", mechanismPlain, mechanismScram256, mechanismScram512}
)

const (
	mechanismPlain    = "plain"
	mechanismScram256 = "scram-sha-256"
	mechanismScram512 = "scram-sha-512"
)

// Validate says what is wrong with the settings, and with the files that they name.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(len(c.Brokers) > 0, "brokers: at least one address is needed")
	for _, address := range c.Brokers {
		host, port, err := net.SplitHostPort(address)
		check(err == nil && host != "" && port != "", "brokers: %q is not host:port", address)
	}
	check(len(c.TopicPrefix) <= maxPrefixLength && prefixForm.MatchString(c.TopicPrefix),
		"topic_prefix %q: at most %d of a-z, A-Z, 0-9, '.', '_' and '-'", c.TopicPrefix, maxPrefixLength)
	check(c.Replication >= 0 && c.Replication <= 1000, "replication %d: must be 0 to 1000", c.Replication)
	check(c.MaxInFlightBytes >= 2*maxBatchBytes, "max_in_flight_bytes %d: must be at least %d bytes, twice the biggest append",
		c.MaxInFlightBytes, 2*maxBatchBytes)
	check(c.DialTimeout > 0, "dial_timeout %v: must be positive", c.DialTimeout)
	check(c.RequestTimeout > 0 && c.RequestTimeout <= time.Hour, "request_timeout %v: must be positive, an hour at most", c.RequestTimeout)
	check(c.CloseTimeout > 0, "close_timeout %v: must be positive", c.CloseTimeout)
	check(c.TLS.Enabled || c.TLS == TLSConfig{}, "tls: has settings, but enabled is not true")
	if check((c.TLS.CertFile == "") == (c.TLS.KeyFile == ""), "tls: cert_file and key_file need each other"); len(errs) == 0 {
		_, err := c.TLS.load(vfs.OS())
		check(err == nil, "tls: %w", err)
	}
	check(slices.Contains(mechanisms, c.SASL.Mechanism), "sasl.mechanism %q: must be %s, %s or %s", c.SASL.Mechanism,
		mechanismPlain, mechanismScram256, mechanismScram512)
	if c.SASL.Mechanism == "" {
		check(c.SASL == SASLConfig{}, "sasl: has a user or password, but no mechanism")
	} else {
		check(c.SASL.User != "" && c.SASL.Password != "", "sasl: user and password are needed with a mechanism")
	}
	return errors.Join(errs...)
}

// Options says how to open an engine. Every zero field of Config takes its default.
type Options struct {
	Config

	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: no metrics

	// identity is the transactional id. Empty: that of the prefix.
	identity string
	// lookPatience is how long brokers may take to hear of a topic. 0: lookPatience.
	lookPatience time.Duration
	// dial makes connections, for tests that break them.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o *Options) complete() error {
	d := DefaultConfig()
	if len(o.Brokers) == 0 {
		o.Brokers = d.Brokers
	}
	if o.MaxInFlightBytes == 0 {
		o.MaxInFlightBytes = d.MaxInFlightBytes
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = d.DialTimeout
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = d.RequestTimeout
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = d.CloseTimeout
	}
	if o.identity == "" {
		o.identity = o.TopicPrefix + "sluice"
	}
	if o.lookPatience == 0 {
		o.lookPatience = lookPatience
	}
	if o.dial == nil {
		o.dial = (&net.Dialer{}).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o.Validate()
}

// Encoded, an append may be bigger than by shard.Record.Size. Only records with very many empty headers reach this
// limit before the other one.
const (
	batchHeaderBytes = 61
	maxBatchBytes    = shard.MaxAppendBytes*3/2 + batchHeaderBytes
)

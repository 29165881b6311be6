package node

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/kafka"
)

// LogConfig is the log that all records are kept in, and its engine's settings.
type LogConfig struct {
	// Engine is "embedded": the log is on this machine's disks, below Config.Data; or "kafka": it is in a Kafka
	// cluster.
	Engine string `yaml:"engine" env:"ENGINE"`

	Embedded journal.Config `yaml:",inline"`
	Kafka    kafka.Config   `yaml:"kafka" envPrefix:"KAFKA_"`
}

const (
	engineEmbedded = "embedded"
	engineKafka    = "kafka"
)

func defaultLogConfig() LogConfig {
	return LogConfig{Engine: engineEmbedded, Embedded: journal.DefaultConfig(), Kafka: kafka.DefaultConfig()}
}

// Validate says everything that is wrong, also with the settings of the engine that is not in use.
func (c LogConfig) Validate() error {
	var problem error
	if c.Engine != engineEmbedded && c.Engine != engineKafka {
		problem = fmt.Errorf("engine: %q, must be %q or %q", c.Engine, engineEmbedded, engineKafka)
	}
	return errors.Join(problem, c.Embedded.Validate(), within("kafka", c.Kafka.Validate()))
}

// warning tells of settings that have no effect, so that nobody relies on them, and of a password that can be read.
func (c LogConfig) warning() string {
	defaults := defaultLogConfig()
	switch {
	case c.Engine == engineKafka && !reflect.DeepEqual(c.Embedded, defaults.Embedded):
		return "the embedded engine has settings, which mean nothing with engine: kafka"
	case c.Engine == engineEmbedded && !reflect.DeepEqual(c.Kafka, defaults.Kafka):
		return "kafka has settings, which mean nothing without engine: kafka"
	case c.Engine == engineKafka && c.Kafka.SASL.Mechanism == "plain" && !c.Kafka.TLS.Enabled:
		return "kafka.sasl.mechanism is plain and kafka.tls is not enabled; the password can be read on the way"
	default:
		return ""
	}
}

// memoryBytes is what the log may hold in memory.
func (c LogConfig) memoryBytes() int64 {
	if c.Engine == engineKafka {
		return c.Kafka.MaxInFlightBytes
	}
	return c.Embedded.CacheBytes
}

// RecordsIn is where records are kept, for people to read.
func (c *Config) RecordsIn() string {
	if c.Log.Engine != engineKafka {
		return c.Data
	}
	k := c.Log.Kafka
	var b strings.Builder
	fmt.Fprintf(&b, "Kafka at %s", strings.Join(k.Brokers, ", "))
	if k.TopicPrefix != "" {
		fmt.Fprintf(&b, ", in topics that begin with %s", k.TopicPrefix)
	}
	if k.TLS.Enabled {
		b.WriteString(", with TLS")
	}
	if k.SASL.Mechanism != "" {
		fmt.Fprintf(&b, ", as the user %s by %s", k.SASL.User, k.SASL.Mechanism)
	}
	return b.String()
}

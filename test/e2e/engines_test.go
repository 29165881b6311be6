package e2e

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
)

// brokers is the Kafka that tests share which leave it alone. Who comes by its plain listener may do everything;
// through the others, what ACLs allow.
var brokers = kafkatest.NewShared(kafkatest.Options{Secure: true, ACLs: true})

// engine is where servers keep their logs: each of its servers has all that the ones before it left.
type engine struct {
	name string
	env  []string // the settings that say so
}

// newServer prepares a server whose log is there.
func (e engine) newServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := newServer(t, args...)
	s.env = append(s.env, e.env...)
	return s
}

// startServer is newServer and start.
func (e engine) startServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := e.newServer(t, args...)
	s.start()
	return s
}

// onEachEngine runs a test with the log on the server's own disk, and with the log in Kafka.
func onEachEngine(t *testing.T, test func(t *testing.T, e engine)) {
	t.Run("embedded", func(t *testing.T) { test(t, engine{name: "embedded"}) })
	t.Run("kafka", func(t *testing.T) { test(t, onKafka(t, brokers.Cluster(t))) })
}

var prefixes atomic.Int64

// onKafka is a log in a cluster, in topics of its own.
func onKafka(t testing.TB, c *kafkatest.Cluster) engine {
	t.Helper()
	return engine{name: "kafka", env: []string{
		"SLUICE_LOG_ENGINE=kafka",
		"SLUICE_LOG_KAFKA_BROKERS=" + strings.Join(c.Addresses(kafkatest.Plain), ","),
		"SLUICE_LOG_KAFKA_TOPIC_PREFIX=" + newPrefix(),
	}}
}

func newPrefix() string { return fmt.Sprintf("e2e-%d.", prefixes.Add(1)) }

// prefix is what the names of the engine's topics begin with.
func (e engine) prefix() string {
	for _, setting := range e.env {
		if prefix, ok := strings.CutPrefix(setting, "SLUICE_LOG_KAFKA_TOPIC_PREFIX="); ok {
			return prefix
		}
	}
	return ""
}

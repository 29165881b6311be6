package kafkatest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An attempt that a hanging broker holds up is given up and tried anew.
const attemptTimeout = 5 * time.Second

// retry waits until a step works: brokers that have just come back need some time to agree.
func retry(t *testing.T, what string, step func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, done := context.WithTimeout(ctx, attemptTimeout)
		err := step(attempt)
		done()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func topicOf(replicas int) kafka.TopicConfig {
	return kafka.TopicConfig{Topic: "t", NumPartitions: 1, ReplicationFactor: replicas}
}

func createTopic(t *testing.T, c *kafka.Client, replicas int) {
	t.Helper()
	retry(t, "create a topic", func(ctx context.Context) error {
		answer, err := c.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{topicOf(replicas)}})
		if err != nil {
			return err
		}
		return answer.Errors["t"]
	})
}

func produce(t *testing.T, c *kafka.Client, value string) (offset int64) {
	t.Helper()
	retry(t, "produce "+value, func(ctx context.Context) error {
		answer, err := c.Produce(ctx, &kafka.ProduceRequest{
			Topic: "t", RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value))}),
		})
		if err != nil {
			return err
		}
		offset = answer.BaseOffset
		return answer.Error
	})
	return offset
}

func TestABrokerComesBackWithItsDataAtItsAddress(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{})
	broker, client := cluster.Brokers[0], cluster.Client(t)
	createTopic(t, client, 1)
	if offset := produce(t, client, "first"); offset != 0 {
		t.Errorf("first record at %d", offset)
	}
	broker.Kill()
	broker.Kill()
	if conn, err := net.Dial("tcp", broker.Address(kafkatest.Plain)); err == nil {
		_ = conn.Close()
		t.Fatal("a killed broker takes connections")
	}
	broker.Restart(t)
	if offset := produce(t, client, "second"); offset != 1 {
		t.Errorf("second record at %d: a restart lost the first, or it was written twice", offset)
	}
	broker.Stop(t)
	broker.Restart(t)
}

func TestThreeBrokersGoOnWhileOneIsAwayOrHangs(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{Brokers: 3})
	client := cluster.Client(t)
	createTopic(t, client, 3)
	produce(t, client, "all there")
	cluster.Brokers[0].Kill()
	produce(t, client, "one away")
	cluster.Brokers[0].Restart(t)
	cluster.Brokers[1].Pause(t)
	produce(t, client, "one hangs")
	cluster.Brokers[1].Continue(t)
}

func TestListenersAskForWhatTheirNamesSay(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{Secure: true})
	security := cluster.Security
	trusting := &tls.Config{RootCAs: pool(t, security.CAFile)}
	certificate, err := tls.LoadX509KeyPair(security.CertFile, security.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	known := &tls.Config{RootCAs: trusting.RootCAs, Certificates: []tls.Certificate{certificate}}
	good := mechanisms(t, security.User, security.Password)
	bad := mechanisms(t, security.User, "wrong")

	works := map[string]error{
		"plain": try(t, cluster, kafkatest.Plain, nil, nil),
		"TLS":   try(t, cluster, kafkatest.TLS, trusting, nil),
		"mTLS":  try(t, cluster, kafkatest.MTLS, known, nil),
	}
	refused := map[string]error{
		"no TLS":              try(t, cluster, kafkatest.TLS, nil, nil),
		"another authority":   try(t, cluster, kafkatest.TLS, &tls.Config{RootCAs: pool(t, security.OtherCA)}, nil),
		"no certificate":      try(t, cluster, kafkatest.MTLS, trusting, nil),
		"no user":             try(t, cluster, kafkatest.SASL, nil, nil),
		"no user through TLS": try(t, cluster, kafkatest.SASLTLS, trusting, nil),
	}
	for i := range good {
		works[good[i].Name()] = try(t, cluster, kafkatest.SASL, nil, good[i])
		works[good[i].Name()+" through TLS"] = try(t, cluster, kafkatest.SASLTLS, trusting, good[i])
		refused[good[i].Name()+" with a wrong password"] = try(t, cluster, kafkatest.SASL, nil, bad[i])
	}
	for name, err := range works {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range refused {
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func mechanisms(t *testing.T, user, password string) []sasl.Mechanism {
	t.Helper()
	all := []sasl.Mechanism{plain.Mechanism{Username: user, Password: password}}
	for _, algorithm := range []scram.Algorithm{scram.SHA256, scram.SHA512} {
		mechanism, err := scram.Mechanism(algorithm, user, password)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, mechanism)
	}
	return all
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	encoded, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(encoded) {
		t.Fatalf("no certificate in %s", file)
	}
	return pool
}

// try asks for the brokers through a listener.
func try(t *testing.T, c *kafkatest.Cluster, l kafkatest.Listener, config *tls.Config, user sasl.Mechanism) error {
	t.Helper()
	dialer := &kafka.Dialer{TLS: config, SASLMechanism: user, ClientID: "test"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", c.Brokers[0].Address(l))
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	brokers, err := conn.Brokers()
	if err != nil {
		return err
	}
	if address := fmt.Sprintf("%s:%d", brokers[0].Host, brokers[0].Port); address != c.Brokers[0].Address(l) {
		return fmt.Errorf("it names %s as its address", address)
	}
	return nil
}

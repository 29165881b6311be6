package kafka

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
)

func TestTLSAndSASL(t *testing.T) {
	cluster := one.Cluster(t)
	sec := cluster.Security
	tlsOnly := TLSConfig{Enabled: true, CAFile: sec.CAFile}
	login := func(mechanism string) SASLConfig {
		return SASLConfig{Mechanism: mechanism, User: sec.User, Password: sec.Password}
	}
	for i, c := range []struct {
		name     string
		listener kafkatest.Listener
		tls      TLSConfig
		sasl     SASLConfig
	}{
		{"TLS", kafkatest.TLS, tlsOnly, SASLConfig{}},
		{"MutualTLS", kafkatest.MTLS, TLSConfig{Enabled: true, CAFile: sec.CAFile, CertFile: sec.CertFile, KeyFile: sec.KeyFile}, SASLConfig{}},
		{"Plain", kafkatest.SASL, TLSConfig{}, login("plain")},
		{"Scram256", kafkatest.SASL, TLSConfig{}, login("scram-sha-256")},
		{"Scram512WithTLS", kafkatest.SASLTLS, tlsOnly, login("scram-sha-512")},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := options(cluster.Addresses(c.listener))
			opts.TopicPrefix = fmt.Sprintf("secure%d.", i)
			opts.TLS, opts.SASL = c.tls, c.sasl
			e := mustOpen(t, opts)
			defer e.Close()
			l := makeLog(t, e, "log")
			mustAppend(t, l, "secret")
			if got := valuesOf(readAll(t, l)); !slices.Equal(got, []string{"secret"}) {
				t.Fatalf("read %q", got)
			}
		})
	}
	for _, mechanism := range []string{"plain", "scram-sha-256"} {
		t.Run("WrongPassword/"+mechanism, func(t *testing.T) {
			opts := options(cluster.Addresses(kafkatest.SASL))
			opts.SASL = SASLConfig{Mechanism: mechanism, User: sec.User, Password: "wrong"}
			e, err := Open(within(t), opts)
			if err == nil {
				e.Close()
				t.Fatal("the wrong password was taken")
			}
			if !errors.Is(err, errAuthentication) {
				t.Fatalf("error %v, want that the credentials are refused", err)
			}
		})
	}
	t.Run("UnknownCA", func(t *testing.T) {
		opts := options(cluster.Addresses(kafkatest.TLS))
		opts.TLS = TLSConfig{Enabled: true}
		if e, err := Open(within(t), opts); err == nil {
			e.Close()
			t.Fatal("a certificate of an unknown authority was taken")
		}
	})
}

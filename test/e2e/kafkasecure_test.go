package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/segmentio/kafka-go"

	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
)

// allow gives a user what docs/kafka.md says that a node needs, for one prefix, and nothing else.
func allow(t *testing.T, c *kafka.Client, principal, prefix string) {
	t.Helper()
	var acls []kafka.ACLEntry
	entry := func(kind kafka.ResourceType, name string, pattern kafka.PatternType, operations ...kafka.ACLOperationType) {
		for _, operation := range operations {
			acls = append(acls, kafka.ACLEntry{
				ResourceType: kind, ResourceName: name, ResourcePatternType: pattern, Principal: principal, Host: "*",
				Operation: operation, PermissionType: kafka.ACLPermissionTypeAllow,
			})
		}
	}
	entry(kafka.ResourceTypeTopic, prefix, kafka.PatternTypePrefixed, kafka.ACLOperationTypeCreate, kafka.ACLOperationTypeDelete,
		kafka.ACLOperationTypeAlter, kafka.ACLOperationTypeDescribe, kafka.ACLOperationTypeDescribeConfigs,
		kafka.ACLOperationTypeRead, kafka.ACLOperationTypeWrite)
	entry(kafka.ResourceTypeTransactionalID, prefix, kafka.PatternTypePrefixed, kafka.ACLOperationTypeDescribe,
		kafka.ACLOperationTypeWrite)
	answer, err := c.CreateACLs(t.Context(), &kafka.CreateACLsRequest{ACLs: acls})
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range answer.Errors {
		if err != nil {
			t.Fatalf("ACL %+v: %v", acls[i], err)
		}
	}
}

// configured is a server with its settings in a file.
func configured(t *testing.T, config string) *server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return newServer(t, "--config", file)
}

// TestANodeReachesKafkaWithTLSAndAPasswordOrACertificate has one node after the other on the same topics, each known
// to Kafka in another way, with the least that ACLs must allow.
func TestANodeReachesKafkaWithTLSAndAPasswordOrACertificate(t *testing.T) {
	cluster := brokers.Cluster(t)
	security, prefix := cluster.Security, newPrefix()
	allow(t, cluster.Client(t), "User:"+security.User, prefix)
	allow(t, cluster.Client(t), "User:CN="+security.User, prefix)
	config := func(l kafkatest.Listener, more string) string {
		return "log:\n  engine: kafka\n  kafka:\n    brokers: [\"" + strings.Join(cluster.Addresses(l), `", "`) + "\"]\n" +
			"    topic_prefix: " + prefix + "\n" + more
	}
	tls := "    tls: {enabled: true, ca_file: " + security.CAFile + "}\n"
	password := func(mechanism string) string {
		return "    sasl: {mechanism: " + mechanism + ", user: " + security.User + ", password: " + security.Password + "}\n"
	}
	certificate := "    tls: {enabled: true, ca_file: " + security.CAFile + ", cert_file: " + security.CertFile +
		", key_file: " + security.KeyFile + "}\n"
	var want []string
	for i, c := range []string{
		config(kafkatest.SASLTLS, tls+password("scram-sha-512")),
		config(kafkatest.SASLTLS, tls+password("plain")),
		config(kafkatest.MTLS, certificate),
	} {
		s := configured(t, c)
		s.start()
		if i == 0 {
			createStream(t, s, "clicks", 1)
		}
		data := "by node " + string(rune('1'+i))
		want = append(want, data)
		if _, err := s.kinesis().PutRecord(t.Context(), &kinesis.PutRecordInput{
			StreamName: aws.String("clicks"), PartitionKey: aws.String("k"), Data: []byte(data),
		}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range readStream(t.Context(), t, s.reader(), "clicks") {
			got = append(got, r.data)
		}
		if strings.Join(got, ",") != strings.Join(want, ",") {
			t.Errorf("records %q, want %q", got, want)
		}
		if i == 2 { // what was made goes too
			if _, err := s.kinesis().DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String("clicks")}); err != nil {
				t.Error(err)
			}
		}
		s.stop()
	}
	for name, c := range map[string]struct{ config, says string }{
		"a wrong password":        {config(kafkatest.SASLTLS, tls+strings.Replace(password("scram-sha-256"), security.Password, "wrong", 1)), "credentials"},
		"an unknown authority":    {config(kafkatest.SASLTLS, strings.Replace(tls, security.CAFile, security.OtherCA, 1)+password("plain")), "certificate"},
		"topics of somebody else": {strings.Replace(config(kafkatest.SASLTLS, tls+password("plain")), prefix, "others.", 1), "others.sluice"},
	} {
		s := configured(t, c.config)
		s.launch()
		if code := s.ended(); code != 1 {
			t.Errorf("%s: the node ended with %d, want 1", name, code)
		}
		if out := s.output.String(); !strings.Contains(out, c.says) {
			t.Errorf("%s: the node does not speak of %q:\n%s", name, c.says, last(out, 2000))
		}
	}
}

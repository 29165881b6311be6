package kafkatest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Listener is one of the ways to reach a broker. Its value is the listener's name in Kafka.
type Listener string

// The listeners of a broker. All but Plain need Options.Secure.
const (
	Plain   Listener = "PLAIN"   // no encryption; all clients are User:ANONYMOUS
	TLS     Listener = "TLS"     // brokers show a certificate
	MTLS    Listener = "MTLS"    // and clients must show one too
	SASL    Listener = "SASL"    // user and password: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
	SASLTLS Listener = "SASLTLS" // the same, encrypted

	controller Listener = "CONTROLLER"
)

var protocols = map[Listener]string{
	controller: "PLAINTEXT", Plain: "PLAINTEXT", TLS: "SSL", MTLS: "SSL", SASL: "SASL_PLAINTEXT", SASLTLS: "SASL_SSL",
}

// listeners are those that brokers with these options have, for clients.
func (o Options) listeners() []Listener {
	if o.Secure {
		return []Listener{Plain, TLS, MTLS, SASL, SASLTLS}
	}
	return []Listener{Plain}
}

// properties are the settings of one broker.
func (c *Cluster) properties(b *Broker) map[string]string {
	var listeners, advertised, protocolMap, voters []string
	for _, l := range append([]Listener{controller}, c.options.listeners()...) {
		listeners = append(listeners, fmt.Sprintf("%s://%s", l, b.addresses[l]))
		protocolMap = append(protocolMap, fmt.Sprintf("%s:%s", l, protocols[l]))
		if l != controller {
			advertised = append(advertised, fmt.Sprintf("%s://%s", l, b.addresses[l]))
		}
	}
	for _, other := range c.Brokers {
		voters = append(voters, fmt.Sprintf("%d@%s", other.ID, other.addresses[controller]))
	}
	replicas := strconv.Itoa(len(c.Brokers))
	p := map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  strconv.Itoa(b.ID),
		"controller.quorum.voters":                 strings.Join(voters, ","),
		"controller.listener.names":                string(controller),
		"inter.broker.listener.name":               string(Plain),
		"listeners":                                strings.Join(listeners, ","),
		"advertised.listeners":                     strings.Join(advertised, ","),
		"listener.security.protocol.map":           strings.Join(protocolMap, ","),
		"log.dirs":                                 filepath.Join(b.dir, "data"),
		"auto.create.topics.enable":                "false",
		"delete.topic.enable":                      "true",
		"log.segment.delete.delay.ms":              "1000",
		"log.cleaner.dedupe.buffer.size":           "2097152", // of 128 MiB, which the heap has not
		"num.network.threads":                      "2",
		"num.io.threads":                           "4",
		"offsets.topic.num.partitions":             "1",
		"offsets.topic.replication.factor":         replicas,
		"transaction.state.log.num.partitions":     "1",
		"transaction.state.log.replication.factor": replicas,
		"transaction.state.log.min.isr":            "1",
		"group.initial.rebalance.delay.ms":         "0",
	}
	// A broker that is away is replaced, and one that comes back is taken for new, within seconds.
	p["broker.session.timeout.ms"] = "3000"
	p["broker.heartbeat.interval.ms"] = "500"
	if len(c.Brokers) > 1 {
		p["transaction.state.log.min.isr"] = "2"
		p["controller.quorum.fetch.timeout.ms"] = "1000"
	}
	if c.Security != nil {
		maps.Copy(p, c.Security.properties())
	}
	if c.options.ACLs {
		p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		p["super.users"] = "User:ANONYMOUS"
	}
	maps.Copy(p, c.options.Settings)
	return p
}

func (s *Security) properties() map[string]string {
	p := map[string]string{
		"ssl.keystore.type":       "PEM",
		"ssl.keystore.location":   s.brokerFile,
		"ssl.truststore.type":     "PEM",
		"ssl.truststore.location": s.CAFile,
	}
	p["listener.name.mtls.ssl.client.auth"] = "required"
	for _, l := range []Listener{SASL, SASLTLS} {
		prefix := "listener.name." + strings.ToLower(string(l)) + "."
		p[prefix+"sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
		p[prefix+"plain.sasl.jaas.config"] = fmt.Sprintf(
			"org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=%q;", s.User, s.Password)
		for _, mechanism := range []string{"scram-sha-256", "scram-sha-512"} {
			p[prefix+mechanism+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		}
	}
	return p
}

// scram are the arguments that make the user known for SCRAM when a broker's directory is formatted.
func (s *Security) scram() []string {
	var args []string
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, s.User, s.Password))
	}
	return args
}

func writeProperties(path string, properties map[string]string) error {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", key, properties[key])
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

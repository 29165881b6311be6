package e2e

import (
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// clients are AWS's SDKs as they come, each in a region of its own.
var clients = []struct {
	name, region string
	speaks       string // by its own settings
	start        func(t *testing.T, p place) *sdk
}{
	{"boto3", "eu-west-1", "HTTP/1.1, JSON", startBoto3},
	{"go", "eu-west-2", "HTTP/1.1, JSON", startGoSDK},
	{"java-sync", "eu-west-3", "CBOR, HTTP/1.1", startJava("sync")},
	{"java-async", "eu-north-1", "CBOR, HTTP/2", startJava("async")},
	{"javascript", "eu-south-1", "HTTP/2, JSON", startJavaScript},
}

func startBoto3(t *testing.T, p place) *sdk {
	return startSDK(t, p, nil, tool(t, "venv/bin/python"), "clients/python/boto3_client.py")
}

func startJavaScript(t *testing.T, p place) *sdk {
	modules := tool(t, "javascript/node_modules")
	return startSDK(t, p, []string{"NODE_PATH=" + modules}, "node", "clients/javascript/client.cjs")
}

// startJava starts the program for one of the two clients that Java's SDK has. What is set is for a virtual machine
// that lives for seconds: compilers and collectors that pay off later only cost time.
func startJava(kind string) func(t *testing.T, p place) *sdk {
	return func(t *testing.T, p place) *sdk {
		args := []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}
		if p.ca != "" {
			args = append(args, "-Djavax.net.ssl.trustStore="+p.truststore(), "-Djavax.net.ssl.trustStorePassword=changeit")
		}
		classes := tool(t, "java/classes") + ":" + filepath.Join(tool(t, "java/lib"), "*")
		return startSDK(t, p, nil, "java", append(args, "-cp", classes, "sluice.Client", kind)...)
	}
}

func TestUnmodifiedSDKsDriveEveryOperation(t *testing.T) {
	s := newServer(t)
	key := filepath.Join(t.TempDir(), "key")
	run(t, nil, binary, "keygen", key)
	s.env = append(s.env, "SLUICE_ENCRYPTION_KEY_FILE="+key)
	s.start()
	for _, client := range clients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			address, wire := tap(t, s)
			c := client.start(t, place{endpoint: "http://" + address, region: client.region})
			c.server = s.endpoint()
			c.pushes = client.name != "java-sync" // that has no SubscribeToShard
			converse(c)
			check(t, wire.heard(), client.speaks)
		})
	}
}

func TestUnmodifiedSDKsSpeakTLS(t *testing.T) {
	s := newServer(t)
	s.env = append(s.env, "SLUICE_TLS_SELF_SIGNED=true")
	s.start()
	truststore := sync.OnceValue(func() string { return truststore(t, s.ca()) })
	for _, client := range clients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			c := client.start(t, place{"https://" + s.listen, client.region, s.ca(), truststore})
			c.step("a stream is created, described and listed", createdAndDescribed)
			c.step("records come back as they were put", putAndRead)
			c.step("errors are the SDK's own exceptions", exceptions)
			c.step("a stream is deleted", deleted)
		})
	}
}

// ca is the file with the certificate that clients of a server with a certificate of its own trust.
func (s *server) ca() string { return filepath.Join(s.data, "tls", "ca.pem") }

// truststore makes what Java takes for a file with certificates to trust.
func truststore(t *testing.T, ca string) string {
	store := filepath.Join(filepath.Dir(ca), "trusted.p12")
	run(t, nil, "keytool", "-importcert", "-noprompt", "-alias", "sluice", "-file", ca, "-keystore", store, "-storepass", "changeit")
	return store
}

// newer are operations of the SDK that Kinesis Data Streams' API does not have as of the model that Sluice follows.
var newer = []string{
	"CreateChannel", "DeleteChannel", "DescribeChannel", "ListChannels", "UpdateChannel", "UpdateStreamRecordDistributionStrategy",
}

// operations are those of the SDK for Go, but for newer ones.
func operations() []string {
	var names []string
	client := reflect.TypeFor[*kinesis.Client]()
	for i := range client.NumMethod() {
		m := client.Method(i)
		if m.Type.NumIn() > 2 && m.Type.In(2).Kind() == reflect.Pointer &&
			m.Type.In(2).Elem().Name() == m.Name+"Input" && !slices.Contains(newer, m.Name) {
			names = append(names, m.Name)
		}
	}
	return names
}

// converse is what every client is asked for.
func converse(c *sdk) {
	c.step("a stream is created, described and listed", createdAndDescribed)
	c.step("records come back as they were put", putAndRead)
	c.step("every kind of iterator starts where it should", iterators)
	c.step("times are right to the millisecond", times)
	c.step("records of a MiB pass, and no larger ones", largeRecords)
	c.step("errors are the SDK's own exceptions", exceptions)
	c.step("answers come in pages", pages)
	c.step("streams and resources have tags", tags)
	c.step("other accounts may be let in", policies)
	c.step("records are kept longer and shorter", retention)
	c.step("shards are monitored", monitoring)
	c.step("records may be larger", recordSize)
	c.step("the account has limits and settings", accountSettings)
	c.step("shards split and merge", resharding)
	c.step("records are encrypted", encryption)
	c.step("records are pushed to consumers", consumers)
	c.step("a stream is deleted", deleted)
	for _, operation := range operations() {
		if want := c.pushes || operation != "SubscribeToShard"; c.called[operation] != want {
			c.t.Errorf("%s was answered: %v", operation, c.called[operation])
		}
	}
}

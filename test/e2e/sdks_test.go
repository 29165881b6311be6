package e2e

import (
	"path/filepath"
	"testing"
)

// clients are AWS's SDKs as they come, each in a region of its own.
var clients = []struct {
	name, region string
	speaks       string // by its own settings
	start        func(t *testing.T, endpoint, region string) *sdk
}{
	{"boto3", "eu-west-1", "HTTP/1.1, JSON", startBoto3},
	{"go", "eu-west-2", "HTTP/1.1, JSON", startGoSDK},
	{"java-sync", "eu-west-3", "CBOR, HTTP/1.1", startJava("sync")},
	{"java-async", "eu-north-1", "CBOR, HTTP/2", startJava("async")},
	{"javascript", "eu-south-1", "HTTP/2, JSON", startJavaScript},
}

func startBoto3(t *testing.T, endpoint, region string) *sdk {
	return startSDK(t, endpoint, region, nil, tool(t, "venv/bin/python"), "clients/python/boto3_client.py")
}

func startJavaScript(t *testing.T, endpoint, region string) *sdk {
	modules := tool(t, "javascript/node_modules")
	return startSDK(t, endpoint, region, []string{"NODE_PATH=" + modules}, "node", "clients/javascript/client.cjs")
}

// startJava starts the program for one of the two clients that Java's SDK has. What is set is for a virtual machine
// that lives for seconds: compilers and collectors that pay off later only cost time.
func startJava(kind string) func(t *testing.T, endpoint, region string) *sdk {
	return func(t *testing.T, endpoint, region string) *sdk {
		classes := tool(t, "java/classes") + ":" + filepath.Join(tool(t, "java/lib"), "*")
		return startSDK(t, endpoint, region, nil, "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classes, "sluice.Client", kind)
	}
}

func TestUnmodifiedSDKsDriveEveryOperation(t *testing.T) {
	s := startServer(t)
	for _, client := range clients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			address, wire := tap(t, s)
			c := client.start(t, "http://"+address, client.region)
			c.server = s.endpoint()
			converse(c)
			check(t, wire.heard(), client.speaks)
		})
	}
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
	c.step("a stream is deleted", deleted)
}

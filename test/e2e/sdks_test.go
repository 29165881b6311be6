package e2e

import "testing"

// clients are AWS's SDKs as they come, each in a region of its own.
var clients = []struct {
	name, region string
	start        func(t *testing.T, s *server, region string) *sdk
}{
	{"boto3", "eu-west-1", startBoto3},
	{"go", "eu-west-2", startGoSDK},
	{"javascript", "eu-south-1", startJavaScript},
}

func startBoto3(t *testing.T, s *server, region string) *sdk {
	return startSDK(t, s, region, nil, tool(t, "venv/bin/python"), "clients/python/boto3_client.py")
}

func startJavaScript(t *testing.T, s *server, region string) *sdk {
	modules := tool(t, "javascript/node_modules")
	return startSDK(t, s, region, []string{"NODE_PATH=" + modules}, "node", "clients/javascript/client.cjs")
}

func TestUnmodifiedSDKsDriveEveryOperation(t *testing.T) {
	s := startServer(t)
	for _, client := range clients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			converse(client.start(t, s, client.region))
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

package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed-462d9463/sluice/internal/client"
)

// connection is how put and tail reach a server: by flags, else by the variables that the AWS clients know.
type connection struct{ endpoint, region string }

func (c *connection) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&c.endpoint, "endpoint", "", "address of the server (AWS_ENDPOINT_URL, else http://127.0.0.1:4566)")
	flags.StringVar(&c.region, "region", "", "region of the stream (AWS_REGION or AWS_DEFAULT_REGION, else us-east-1)")
}

// help is the part of a verb's help about connections.
const connectionHelp = `The server is found by --endpoint, AWS_ENDPOINT_URL_KINESIS or AWS_ENDPOINT_URL, and requests are
signed with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN); any pair does for a
server without credentials. AWS_CA_BUNDLE names a PEM file with the certificates to trust.`

// address is where the server is.
func (c *connection) address() string {
	return cmp.Or(c.endpoint, os.Getenv("AWS_ENDPOINT_URL_KINESIS"), os.Getenv("AWS_ENDPOINT_URL"), "http://127.0.0.1:4566")
}

// where is the region that requests are signed for.
func (c *connection) where() string {
	return cmp.Or(c.region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1")
}

// explain adds what to do to an error that says that there is no server or no stream, or another one.
func (c *connection) explain(err error) error {
	var network *net.OpError
	var refused *client.Error
	switch {
	case errors.As(err, &network) && network.Op == "dial":
		return fmt.Errorf("%w; start a server with \"sluice serve\", or name another one with --endpoint", err)
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound && refused.Code == http.StatusText(http.StatusNotFound):
		return fmt.Errorf("no service of Sluice's answers at %s (is it the address of its health and metrics?): %w", c.address(), err)
	case errors.As(err, &refused) && refused.Code == "ResourceNotFoundException":
		return fmt.Errorf("%w There is none in the region %s of %s; "+
			"make it with \"aws kinesis create-stream\", or name another region with --region", err, c.where(), c.address())
	}
	return err
}

func (c *connection) client() (*client.Client, error) {
	endpoint := c.address()
	if u, err := url.Parse(endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usageError(fmt.Errorf("the endpoint %q is not a URL like http://127.0.0.1:4566", endpoint))
	}
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if (id == "") != (secret == "") {
		return nil, usageError(errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together, and one is missing"))
	}
	return client.New(client.Options{
		Endpoint: endpoint, Region: c.where(),
		AccessKey: cmp.Or(id, "sluice"), SecretKey: cmp.Or(secret, "sluice"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"), CAFile: os.Getenv("AWS_CA_BUNDLE"),
	})
}

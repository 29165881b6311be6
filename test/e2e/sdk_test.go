package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// object is a request, an answer or a part of one, with AWS's names of members; clients/clients.md tells the rest.
type object = map[string]any

// place is where a client finds the server. All of it is configuration of the endpoint.
type place struct {
	endpoint, region string
	ca               string        // file with the certificate that it must trust, or ""
	truststore       func() string // the same for Java
}

// sdk is one of AWS's SDKs in a program of its own, which calls what it is told to.
type sdk struct {
	t      *testing.T
	server string // where the tests' own client finds the server
	region string // the client's own, so that clients of one server do not see each other's streams
	in     io.Writer
	out    *bufio.Reader
	called map[string]bool // operations that were answered
	pushes bool            // it has SubscribeToShard
}

// refusal is what an SDK threw.
type refusal struct {
	Type    string // the name of the exception's class
	Message string
	Status  int
}

type reply struct {
	Ready  string
	Output object
	Event  object
	Error  *refusal
}

// patience bounds a client's whole conversation: a client that hangs is ended, and the test fails.
const patience = 3 * time.Minute

// startSDK runs a client's program against a server.
func startSDK(t *testing.T, p place, env []string, program string, args ...string) *sdk {
	t.Helper()
	in, out := converser(t, p, env, program, args...)
	return newSDK(t, p, in, out)
}

// converser runs a program that is told by lines on its standard input what to do to a server, and answers on its
// standard output. It has what an AWS client reads of its environment.
func converser(t *testing.T, p place, env []string, program string, args ...string) (io.WriteCloser, *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(cleanEnv(), env...)
	cmd.Env = append(cmd.Env, "AWS_ENDPOINT_URL="+p.endpoint, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey,
		"AWS_REGION="+p.region, "AWS_DEFAULT_REGION="+p.region, "AWS_EC2_METADATA_DISABLED=true")
	if p.ca != "" {
		cmd.Env = append(cmd.Env, "AWS_CA_BUNDLE="+p.ca, "NODE_EXTRA_CA_CERTS="+p.ca)
	}
	printed := &safeBuffer{}
	cmd.Stderr = printed
	in := must(cmd.StdinPipe())(t)
	out := must(cmd.StdoutPipe())(t)
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the client's program: %v", err)
		}
		cancel()
		if t.Failed() {
			t.Logf("the client's program printed:\n%s", last(printed.String(), 6000))
		}
	})
	return in, bufio.NewReader(out)
}

// tell sends a line to a program, and hear reads one.
func tell(t testing.TB, in io.Writer, line any) {
	t.Helper()
	if err := json.NewEncoder(in).Encode(line); err != nil {
		t.Fatalf("the client has ended: %v", err)
	}
}

func hear[T any](t testing.TB, out *bufio.Reader) (heard T) {
	t.Helper()
	line, err := out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the client has ended: %v", err)
	}
	if err := json.Unmarshal(line, &heard); err != nil {
		t.Fatalf("the client printed %q", last(string(line), 1000))
	}
	return heard
}

func newSDK(t *testing.T, p place, in io.Writer, out *bufio.Reader) *sdk {
	t.Helper()
	c := &sdk{t: t, server: p.endpoint, region: p.region, in: in, out: out, called: map[string]bool{}}
	t.Log(c.read().Ready)
	return c
}

// step runs a part of the conversation as a subtest.
func (c *sdk) step(name string, part func(c *sdk)) {
	c.t.Helper()
	c.t.Run(name, func(t *testing.T) {
		outer := c.t
		c.t = t
		defer func() { c.t = outer }()
		part(c)
	})
}

func (c *sdk) read() reply {
	c.t.Helper()
	return hear[reply](c.t, c.out)
}

// try calls an operation.
func (c *sdk) try(operation string, input object) (object, *refusal) {
	c.t.Helper()
	tell(c.t, c.in, object{"call": operation, "input": input})
	r := c.read()
	if r.Error == nil {
		c.called[operation] = true
	}
	return r.Output, r.Error
}

// do calls an operation that must succeed.
func (c *sdk) do(operation string, input object) object {
	c.t.Helper()
	output, err := c.try(operation, input)
	if err != nil {
		c.t.Fatalf("%s(%s): %+v", operation, short(input), *err)
	}
	return output
}

// refused calls an operation that must fail with the SDK's exception of that name, and returns what it says.
func (c *sdk) refused(exception, operation string, input object) string {
	c.t.Helper()
	output, err := c.try(operation, input)
	if err == nil {
		c.t.Fatalf("%s(%s): want %s, got %s", operation, short(input), exception, short(output))
	}
	if err.Type != exception || err.Status != 400 {
		c.t.Errorf("%s(%s): want %s with status 400, got %+v", operation, short(input), exception, *err)
	}
	return err.Message
}

// wait runs a waiter of the SDK on a stream.
func (c *sdk) wait(waiter, stream string) {
	c.t.Helper()
	tell(c.t, c.in, object{"wait": waiter, "input": object{"StreamName": stream}})
	if r := c.read(); r.Error != nil {
		c.t.Fatalf("waiting for %s of %s: %+v", waiter, stream, *r.Error)
	}
}

// other is the tests' own client, in the same region, for what is to happen beside the client under test or is to be
// compared with what that one says.
func (c *sdk) other() *kinesis.Client {
	return kinesis.NewFromConfig(sdkConfig(c.t, place{endpoint: c.server, region: c.region}))
}

func (c *sdk) arn(resource string) string {
	return "arn:aws:kinesis:" + c.region + ":" + account + ":" + resource
}

func data(b []byte) object { return object{"$bytes": base64.StdEncoding.EncodeToString(b)} }
func at(ms int64) object   { return object{"$time": ms} }

// get is the value at a path of members and indexes; it fails the test where there is none.
func get[T any](t testing.TB, from any, path ...any) T {
	t.Helper()
	found := from
	for _, step := range path {
		switch step := step.(type) {
		case string:
			o, _ := found.(object)
			found = o[step]
		case int:
			list, _ := found.([]any)
			if step >= len(list) {
				t.Fatalf("no %v in %s", path, short(from))
			}
			found = list[step]
		}
	}
	value, ok := found.(T)
	if !ok {
		t.Fatalf("%v is %s, not a %T, in %s", path, short(found), value, short(from))
	}
	return value
}

// number, millis and blob are get for what JSON has no types for.
func number(t testing.TB, from any, path ...any) int {
	t.Helper()
	return int(get[float64](t, from, path...))
}

func millis(t testing.TB, from any, path ...any) int64 {
	t.Helper()
	return int64(get[float64](t, from, append(path, "$time")...))
}

func blob(t testing.TB, from any, path ...any) []byte {
	t.Helper()
	return must(base64.StdEncoding.DecodeString(get[string](t, from, append(path, "$bytes")...)))(t)
}

// short is a value for a message.
func short(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(text) > 600 {
		text = append(bytes.Clone(text[:600]), "…"...)
	}
	return string(text)
}

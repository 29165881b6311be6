package e2e

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// startGoSDK is startSDK for the AWS SDK for Go 2, which runs in the test's own process.
func startGoSDK(t *testing.T, p place) *sdk {
	t.Helper()
	fromTest, in := io.Pipe()
	out, toTest := io.Pipe()
	config := sdkConfig(t, p)
	speaker := &goSDK{config: config, client: kinesis.NewFromConfig(config), out: json.NewEncoder(toTest)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer toTest.Close()
		speaker.listen(t, fromTest)
	}()
	t.Cleanup(func() {
		in.Close()
		out.Close()
		<-ended
	})
	return newSDK(t, p, in, bufio.NewReader(out))
}

// sdkConfig leaves all but the endpoint and the credentials to the SDK.
func sdkConfig(t testing.TB, p place) aws.Config {
	t.Helper()
	config := aws.Config{
		Region: p.region, BaseEndpoint: &p.endpoint, Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	}
	if p.ca != "" { // SSL_CERT_FILE would be for all clients in this process
		config.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(transport *http.Transport) {
			transport.TLSClientConfig.RootCAs = trust(t, p.ca)
		})
	}
	return config
}

// trust is the certificate of a file.
func trust(t testing.TB, ca string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(must(os.ReadFile(ca))(t)) {
		t.Fatalf("no certificate in %s", ca)
	}
	return pool
}

// goSDK does what the programs in clients do.
type goSDK struct {
	config aws.Config
	client *kinesis.Client // for all but subscriptions, which each have their own: docs/compatibility.md tells why
	out    *json.Encoder
}

type goRequest struct {
	Call, Wait string
	Subscribe  bool
	Input      object
	Records    int
}

func (g *goSDK) listen(t *testing.T, in io.Reader) {
	_ = g.out.Encode(object{"ready": "AWS SDK for Go " + aws.SDKVersion})
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var request goRequest
		if err := json.Unmarshal(line, &request); err != nil {
			t.Error(err)
			return
		}
		if err := g.obey(t, request); err != nil {
			_ = g.out.Encode(object{"error": thrown(err)})
		}
	}
}

func (g *goSDK) obey(t *testing.T, r goRequest) error {
	output := object{}
	switch {
	case r.Call != "":
		answer, err := call(t, g.client, r.Call, r.Input)
		if err != nil {
			return err
		}
		output = fromGo(reflect.ValueOf(answer)).(object)
	case r.Wait == "StreamExists":
		waiter := kinesis.NewStreamExistsWaiter(g.client)
		input := &kinesis.DescribeStreamInput{StreamName: aws.String(r.Input["StreamName"].(string))}
		if err := waiter.Wait(t.Context(), input, time.Minute); err != nil {
			return err
		}
	case r.Wait == "StreamNotExists":
		waiter := kinesis.NewStreamNotExistsWaiter(g.client)
		input := &kinesis.DescribeStreamInput{StreamName: aws.String(r.Input["StreamName"].(string))}
		if err := waiter.Wait(t.Context(), input, time.Minute); err != nil {
			return err
		}
	case r.Subscribe:
		if err := g.subscribe(t, r); err != nil {
			return err
		}
	}
	return g.out.Encode(object{"output": output})
}

// call calls the client's method of that name.
func call(t *testing.T, client *kinesis.Client, operation string, input object) (any, error) {
	method := reflect.ValueOf(client).MethodByName(operation)
	if !method.IsValid() {
		return nil, fmt.Errorf("the SDK has no %s", operation)
	}
	in := reflect.New(method.Type().In(1).Elem())
	text, err := json.Marshal(toGo(input))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, in.Interface()); err != nil {
		return nil, err
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), in})
	if err, failed := results[1].Interface().(error); failed {
		return nil, err
	}
	return results[0].Interface(), nil
}

// subscribe subscribes again when the SDK has lost its connection before the first event, as docs/compatibility.md tells:
// for five seconds there is no other subscription.
func (g *goSDK) subscribe(t *testing.T, r goRequest) error {
	seen, err := g.follow(t, r)
	var inUse *types.ResourceInUseException
	for lost := false; seen == 0 && err != nil; seen, err = g.follow(t, r) {
		again := strings.Contains(err.Error(), "use of closed network connection")
		if lost = lost || again; !again && !(lost && errors.As(err, &inUse)) {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond): // between two tries
		case <-t.Context().Done():
			return err
		}
	}
	return err
}

// follow subscribes and tells the events; seen counts them.
func (g *goSDK) follow(t *testing.T, r goRequest) (seen int, err error) {
	answer, err := call(t, kinesis.NewFromConfig(g.config), "SubscribeToShard", r.Input)
	if err != nil {
		return 0, err
	}
	stream := answer.(*kinesis.SubscribeToShardOutput).GetStream()
	defer stream.Close()
	records := 0
	for message := range stream.Events() {
		event := message.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
		seen++
		if err := g.out.Encode(object{"event": fromGo(reflect.ValueOf(event))}); err != nil {
			return seen, err
		}
		if records += len(event.Records); r.Records > 0 && records >= r.Records {
			return seen, nil
		}
	}
	return seen, stream.Err()
}

func thrown(err error) refusal {
	r := refusal{Type: fmt.Sprintf("%T", err), Message: err.Error()}
	var api smithy.APIError
	if errors.As(err, &api) {
		r.Type, r.Message = strings.TrimPrefix(fmt.Sprintf("%T", api), "*types."), api.ErrorMessage()
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		r.Status = response.HTTPStatusCode()
	}
	return r
}

// toGo turns what a line holds into JSON that package json reads into the SDK's structs.
func toGo(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = toGo(v[i])
		}
		return list
	case object:
		if bytes, ok := v["$bytes"]; ok {
			return bytes
		}
		if ms, ok := v["$time"].(float64); ok {
			return time.UnixMilli(int64(ms)).UTC()
		}
		o := object{}
		for name, member := range v {
			o[name] = toGo(member)
		}
		return o
	}
	return v
}

// fromGo is the other way round.
func fromGo(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return fromGo(v.Elem())
	case reflect.Slice:
		if bytes, ok := v.Interface().([]byte); ok {
			return object{"$bytes": base64.StdEncoding.EncodeToString(bytes)}
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = fromGo(v.Index(i))
		}
		return list
	case reflect.Map:
		o := object{}
		for _, key := range v.MapKeys() {
			o[key.String()] = fromGo(v.MapIndex(key))
		}
		return o
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return object{"$time": t.UnixMilli()}
		}
		o := object{}
		for i := range v.NumField() {
			field, value := v.Type().Field(i), v.Field(i)
			absent := value.Kind() == reflect.Pointer || value.Kind() == reflect.Slice || value.Kind() == reflect.Map
			if !field.IsExported() || field.Name == "ResultMetadata" || absent && value.IsNil() {
				continue
			}
			o[field.Name] = fromGo(value)
		}
		return o
	}
	return v.Interface()
}

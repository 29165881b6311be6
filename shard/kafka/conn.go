package kafka

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

const (
	clientID = "sluice"
	// maxAnswerBytes bounds what a broker may send as one answer. A Fetch asks for less than that, but gets its first
	// batch whatever its size is.
	maxAnswerBytes = 256 << 20
)

// errAuthentication: the broker does not accept who we are. Another attempt is pointless.
var errAuthentication = errors.New("the credentials are refused")

// conn is a connection to one broker, for one request at a time.
type conn struct {
	net  net.Conn
	r    *bufio.Reader
	next int32
}

// dialer makes connections as the configuration says.
type dialer struct {
	timeout   time.Duration
	tls       *tls.Config    // nil: plain text
	mechanism sasl.Mechanism // nil: none
	connect   func(ctx context.Context, network, address string) (net.Conn, error)
}

func (d *dialer) dial(ctx context.Context, address string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	raw, err := d.connect(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka broker %s: %w", address, err)
	}
	c := &conn{net: raw}
	if err := d.introduce(ctx, c, address); err != nil {
		raw.Close()
		return nil, fmt.Errorf("connect to Kafka broker %s: %w", address, err)
	}
	return c, nil
}

// introduce does what comes before the first request: TLS, SASL, and asking what the broker understands.
func (d *dialer) introduce(ctx context.Context, c *conn, address string) error {
	if d.tls != nil {
		config := d.tls.Clone()
		if config.ServerName == "" {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return err
			}
			config.ServerName = host
		}
		secret := tls.Client(c.net, config)
		if err := secret.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("begin TLS: %w", err)
		}
		c.net = secret
	}
	c.r = bufio.NewReader(c.net)
	if d.mechanism != nil {
		if err := authenticate(ctx, c, d.timeout, d.mechanism); err != nil {
			return err
		}
	}
	answer, err := c.message(ctx, d.timeout, apiVersionsVersion, &apiversions.Request{})
	if err != nil {
		return fmt.Errorf("%w (a listener that expects TLS or SASL closes like this)", err)
	}
	versions := answer.(*apiversions.Response)
	if err := asError(versions.ErrorCode, "asked for versions"); err != nil {
		return err
	}
	return checkVersions(versions.ApiKeys)
}

func checkVersions(keys []apiversions.ApiKeyResponse) error {
	known := map[protocol.ApiKey]bool{}
	for _, k := range keys {
		key := protocol.ApiKey(k.ApiKey)
		known[key] = k.MinVersion <= spoken[key] && spoken[key] <= k.MaxVersion
	}
	for key, version := range spoken {
		if !known[key] {
			return fmt.Errorf("it does not understand version %d of %s; Kafka 3.3 or later is needed", version, key)
		}
	}
	return nil
}

func authenticate(ctx context.Context, c *conn, timeout time.Duration, mechanism sasl.Mechanism) error {
	answer, err := c.message(ctx, timeout, saslHandshakeVersion, &saslhandshake.Request{Mechanism: mechanism.Name()})
	if err != nil {
		return fmt.Errorf("begin SASL: %w (a listener that expects TLS closes like this)", err)
	}
	handshake := answer.(*saslhandshake.Response)
	if handshake.ErrorCode != 0 {
		return fmt.Errorf("%w: mechanism %s is not among %v", errAuthentication, mechanism.Name(), handshake.Mechanisms)
	}
	machine, say, err := mechanism.Start(ctx)
	if err != nil {
		return err
	}
	for {
		answer, err := c.message(ctx, timeout, saslAuthenticateVersion, &saslauthenticate.Request{AuthBytes: say})
		if err != nil {
			return fmt.Errorf("go on with SASL: %w", err)
		}
		step := answer.(*saslauthenticate.Response)
		if step.ErrorCode != 0 {
			return fmt.Errorf("%w: %s", errAuthentication, step.ErrorMessage)
		}
		done, next, err := machine.Next(ctx, step.AuthBytes)
		if err != nil {
			return fmt.Errorf("%w: %w", errAuthentication, err)
		}
		if done {
			return nil
		}
		say = next
	}
}

// message sends one of kafka-go's messages and decodes the answer.
func (c *conn) message(ctx context.Context, timeout time.Duration, version int16, msg protocol.Message) (protocol.Message, error) {
	body, err := c.exchange(ctx, timeout, func(w io.Writer, id int32) error {
		return protocol.WriteRequest(w, version, id, clientID, msg)
	})
	if err != nil {
		return nil, err
	}
	// ReadResponse wants the frame with its length.
	frame := io.MultiReader(bytes.NewReader(binary.BigEndian.AppendUint32(nil, uint32(len(body)))), bytes.NewReader(body))
	_, answer, err := protocol.ReadResponse(frame, msg.ApiKey(), version)
	return answer, err
}

// raw sends a request that is encoded already and returns the bytes of the answer, without the correlation id.
func (c *conn) raw(ctx context.Context, timeout time.Duration, key protocol.ApiKey, version int16, flexible bool, pieces ...[]byte) ([]byte, error) {
	body, err := c.exchange(ctx, timeout, func(w io.Writer, id int32) error {
		var h encoder
		h.i32(0)
		h.i16(int16(key))
		h.i16(version)
		h.i32(id)
		h.str(clientID)
		if flexible {
			h.noTags()
		}
		size := len(h.b) - 4
		for _, p := range pieces {
			size += len(p)
		}
		binary.BigEndian.PutUint32(h.b, uint32(size))
		all := append(net.Buffers{h.b}, pieces...)
		_, err := all.WriteTo(w)
		return err
	})
	if err != nil {
		return nil, err
	}
	return body[4:], nil
}

// exchange writes a request and reads the answer with its correlation id. After an error the connection is of no use.
func (c *conn) exchange(ctx context.Context, timeout time.Duration, write func(io.Writer, int32) error) ([]byte, error) {
	if err := c.net.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.net.SetDeadline(time.Unix(1, 0)) }) // else the timeout ends it
	defer stop()
	c.next++
	body, err := c.converse(write)
	if ctx.Err() != nil {
		// The deadline may have been moved while the answer came, so the connection is not used again.
		return nil, context.Cause(ctx)
	}
	return body, err
}

func (c *conn) converse(write func(io.Writer, int32) error) ([]byte, error) {
	if err := write(c.net, c.next); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(head[:])))
	if size < 4 || size > maxAnswerBytes {
		return nil, fmt.Errorf("%w: of %d bytes; is this a Kafka broker without TLS?", errMalformed, size)
	}
	body, err := readBody(c.r, size)
	if err != nil {
		return nil, err
	}
	if id := int32(binary.BigEndian.Uint32(body)); id != c.next {
		return nil, fmt.Errorf("%w: it answers request %d, not %d", errMalformed, id, c.next)
	}
	return body, nil
}

// readBody reads size bytes without believing in more memory for them than has come.
func readBody(r io.Reader, size int64) ([]byte, error) {
	const trusted = 32 << 20
	if size <= trusted {
		body := make([]byte, size)
		_, err := io.ReadFull(r, body)
		return body, err
	}
	var body bytes.Buffer
	if n, err := body.ReadFrom(io.LimitReader(r, size)); err != nil {
		return nil, err
	} else if n < size {
		return nil, io.ErrUnexpectedEOF
	}
	return body.Bytes(), nil
}

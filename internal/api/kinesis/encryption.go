package kinesis

import (
	"context"
	"errors"
	"strings"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// StreamEncryptionInput is what AWS has as the shapes StartStreamEncryptionInput and StopStreamEncryptionInput.
type StreamEncryptionInput struct {
	StreamName     *string
	StreamARN      *string
	StreamId       *string
	EncryptionType *string
	KeyId          *string
}

func encryptionOf(d *stream.Description) string {
	if d.EncryptionKey == "" {
		return encryptionNone
	}
	return encryptionKMS
}

func (a *api) startStreamEncryption(ctx context.Context, c wire.Caller, in *StreamEncryptionInput, _ *wire.Nothing) error {
	name, err := encryptedStream(c, in)
	if err != nil {
		return err
	}
	err = a.streams.StartEncryption(ctx, name, *in.KeyId)
	if errors.Is(err, stream.ErrKeyNotFound) {
		return wire.Faultf(kmsNotFound, "%s", keyNotFound(*in.KeyId, name))
	}
	return fault(err, name, "")
}

// keyNotFound is the text of AWS's key management for a key that is not there.
func keyNotFound(keyID string, name stream.Name) string {
	key := stream.KeyName(keyID)
	if strings.HasPrefix(key, "alias/") {
		return "Alias arn:aws:kms:" + name.Region + ":" + name.Account + ":" + key + " is not found."
	}
	return "Key 'arn:aws:kms:" + name.Region + ":" + name.Account + ":key/" + key + "' does not exist"
}

// stopStreamEncryption stops whatever encryption there is: a stream has one key, so KeyId can name no other.
func (a *api) stopStreamEncryption(ctx context.Context, c wire.Caller, in *StreamEncryptionInput, _ *wire.Nothing) error {
	name, err := encryptedStream(c, in)
	if err != nil {
		return err
	}
	return fault(a.streams.StopEncryption(ctx, name), name, "")
}

// encryptedStream is the stream that an input is about. The type NONE is one of the model's values, and the
// documentation of both operations says that only KMS is valid.
func encryptedStream(c wire.Caller, in *StreamEncryptionInput) (stream.Name, error) {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return name, err
	}
	if *in.EncryptionType != encryptionKMS {
		return name, wire.Faultf(invalidArgument, "Encryption type %s is not valid; the only valid value is KMS.", *in.EncryptionType)
	}
	if err := stream.CheckKeyID(*in.KeyId); err != nil {
		return name, wire.Faultf(kmsNotFound, "Invalid keyId %s", *in.KeyId)
	}
	return name, nil
}

package api_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/seed-462d9463/sluice/stream"
)

// oneKey is a key with the name alias/orders.
type oneKey struct{ tink.AEAD }

const ordersKey = "alias/orders"

func newKeys(t *testing.T) stream.Keys {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	key, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return oneKey{key}
}

func (k oneKey) Wrap(keyID string, dataKey, associated []byte) ([]byte, error) {
	if stream.KeyName(keyID) != ordersKey {
		return nil, fmt.Errorf("%w: %s is not configured", stream.ErrKeyNotFound, keyID)
	}
	return k.Encrypt(dataKey, associated)
}

func (k oneKey) Unwrap(_ string, wrapped, associated []byte) ([]byte, error) {
	return k.Decrypt(wrapped, associated)
}

// As Terraform and the AWS CLI do it. What a client may verify encryption by, says AWS's documentation, is the
// answer of a put.
func TestTheSDKStartsAndStopsEncryption(t *testing.T) {
	ctx := t.Context()
	k := start(t).kinesis()
	name := aws.String("orders")
	if _, err := k.CreateStream(ctx, &awskinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	put := func(data string) types.EncryptionType {
		t.Helper()
		one, err := k.PutRecord(ctx, &awskinesis.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		several, err := k.PutRecords(ctx, &awskinesis.PutRecordsInput{StreamName: name, Records: []types.PutRecordsRequestEntry{
			{PartitionKey: aws.String("k"), Data: []byte(data)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if one.EncryptionType != several.EncryptionType {
			t.Errorf("PutRecord says %q, PutRecords %q", one.EncryptionType, several.EncryptionType)
		}
		return one.EncryptionType
	}
	described := func() (types.EncryptionType, string) {
		t.Helper()
		out, err := k.DescribeStreamSummary(ctx, &awskinesis.DescribeStreamSummaryInput{StreamName: name})
		if err != nil {
			t.Fatal(err)
		}
		return out.StreamDescriptionSummary.EncryptionType, aws.ToString(out.StreamDescriptionSummary.KeyId)
	}
	if got := put("before"); got != "" {
		t.Errorf("before: %q", got)
	}
	keyID := aws.String("arn:aws:kms:eu-central-1:123456789012:" + ordersKey)
	if _, err := k.StartStreamEncryption(ctx, &awskinesis.StartStreamEncryptionInput{
		StreamName: name, EncryptionType: types.EncryptionTypeKms, KeyId: keyID,
	}); err != nil {
		t.Fatal(err)
	}
	if kind, key := described(); kind != types.EncryptionTypeKms || key != *keyID {
		t.Errorf("described as %s %s", kind, key)
	}
	if got := put("within"); got != types.EncryptionTypeKms {
		t.Errorf("within: %q", got)
	}
	if _, err := k.StopStreamEncryption(ctx, &awskinesis.StopStreamEncryptionInput{
		StreamName: name, EncryptionType: types.EncryptionTypeKms, KeyId: keyID,
	}); err != nil {
		t.Fatal(err)
	}
	if kind, key := described(); kind != types.EncryptionTypeNone || key != "" {
		t.Errorf("described as %s %s", kind, key)
	}
	if got := put("after"); got != "" {
		t.Errorf("after: %q", got)
	}
	records := readAll(t, k, "orders", "shardId-000000000000")
	var got []string
	for _, r := range records {
		got = append(got, fmt.Sprintf("%s %s %s", *r.PartitionKey, r.Data, r.EncryptionType))
	}
	if want := "[k before  k before  k within KMS k within KMS k after  k after ]"; fmt.Sprint(got) != want {
		t.Errorf("%s, want %s", fmt.Sprint(got), want)
	}
}

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const encryptionKey = "alias/aws/kinesis"

// The records of an encrypted stream are what they were, for readers, subscribers and delivery streams, through kill -9
// and the rotation of the key; and they are nowhere in the log's files.
func TestEncryptedRecordsSurviveKillNineAndRotationAndAreNotOnTheDisk(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key.json")
	keygen(t, keyFile)
	s := newServer(t, "--limits", "off")
	s.env = append(s.env, "SLUICE_ENCRYPTION_KEY_FILE="+keyFile)
	s.start()
	arn := createStream(t, s, "clicks", 2)
	createDelivery(t, s, "clicks-to-bucket", "clicks-bucket", arn)
	startEncryption(t, s, "clicks")
	createStream(t, s, "plain", 1)
	if _, err := s.reader().PutRecord(t.Context(), &kinesis.PutRecordInput{
		StreamName: aws.String("plain"), PartitionKey: aws.String("k"), Data: []byte("for all to see"),
	}); err != nil {
		t.Fatal(err)
	}

	ctx, stopProducers := context.WithCancel(t.Context())
	defer stopProducers()
	l := newLedger()
	var acked atomic.Int64
	var producers sync.WaitGroup
	for i := range 3 {
		client := s.kinesis()
		producers.Go(func() { produce(ctx, client, "clicks", fmt.Sprintf("producer-%d", i), l, &acked) })
	}
	for k := range 3 {
		before := acked.Load()
		eventually(t, "producers make progress", func() error {
			if acked.Load() < before+50 {
				return errNotYet
			}
			return nil
		})
		s.kill()
		if k == 1 {
			keygen(t, "--rotate", keyFile)
		}
		s.start()
		if k == 1 {
			startEncryption(t, s, "clicks")
		}
	}
	stopProducers()
	producers.Wait()

	checkDelivered(t, l, s.records("clicks"), s.lines("clicks-bucket"))
	if n := pushed(t, s, arn); n == 0 {
		t.Error("nothing was pushed")
	}

	s.stop()
	var readable []string
	for _, part := range []string{"journal", "shards", "meta"} {
		dir := filepath.Join(s.data, part)
		if file := fileWith(t, dir, "producer-"); file != "" {
			t.Errorf("%s has an encrypted record in clear", file)
		}
		readable = append(readable, fileWith(t, dir, "for all to see"))
	}
	if strings.Join(readable, "") == "" {
		t.Error("the search does not find what is not encrypted")
	}
}

func keygen(t *testing.T, args ...string) {
	t.Helper()
	run(t, nil, binary, append([]string{"keygen"}, args...)...)
}

func startEncryption(t *testing.T, s *server, stream string) {
	t.Helper()
	key := encryptionKey
	if _, err := s.reader().StartStreamEncryption(t.Context(), &kinesis.StartStreamEncryptionInput{
		StreamName: &stream, EncryptionType: kinesistypes.EncryptionTypeKms, KeyId: &key,
	}); err != nil {
		t.Fatal(err)
	}
}

// pushed subscribes to a shard and checks the records of the first event that has any.
func pushed(t *testing.T, s *server, arn string) int {
	t.Helper()
	client, name, shard := s.reader(), "encrypted", "shardId-000000000000"
	consumer, err := client.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: &arn, ConsumerName: &name})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{
		ConsumerARN: consumer.Consumer.ConsumerARN, ShardId: &shard,
		StartingPosition: &kinesistypes.StartingPosition{Type: kinesistypes.ShardIteratorTypeTrimHorizon},
	})
	if err != nil {
		t.Fatal(err)
	}
	stream := answer.GetStream()
	defer stream.Close()
	for message := range stream.Events() {
		event := message.(*kinesistypes.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
		for _, r := range event.Records {
			parseEntry(t, string(r.Data))
			if r.EncryptionType != kinesistypes.EncryptionTypeKms {
				t.Errorf("a record is pushed with the encryption type %q", r.EncryptionType)
			}
		}
		if n := len(event.Records); n > 0 {
			return n
		}
	}
	t.Fatalf("the subscription ended: %v", stream.Err())
	return 0
}

// fileWith is a file in the directory with the text in it, or "".
func fileWith(t *testing.T, dir, text string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) {
			found = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

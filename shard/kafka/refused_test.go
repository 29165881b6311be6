package kafka

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/seed-462d9463/sluice/shard"
)

// TestOneRefusedAppendTakesNoOtherAlong lowers what a topic accepts, and appends small and big records at once.
func TestOneRefusedAppendTakesNoOtherAlong(t *testing.T) {
	cluster := fake(t, 1)
	e := mustOpen(t, options(cluster.ListenAddrs()))
	t.Cleanup(func() { e.Close() })
	l := makeLog(t, e, "log")
	transport := &kafkago.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &kafkago.Client{Addr: kafkago.TCP(cluster.ListenAddrs()...), Transport: transport}
	setTopic(t, client, "log", "max.message.bytes", "20000")
	var want []string
	var pending []shard.Pending
	for i := range 40 {
		v := fmt.Sprintf("small %02d", i)
		if i%10 == 5 {
			v = string(make([]byte, 30_000))
		} else {
			want = append(want, v)
		}
		pending = append(pending, l.Append(within(t), []shard.Record{{Value: []byte(v)}}))
	}
	for i, p := range pending {
		_, err := p.Wait(within(t))
		if big := i%10 == 5; big != errors.Is(err, shard.ErrTooLarge) || !big && err != nil {
			t.Errorf("append %d: %v", i, err)
		}
	}
	if got := valuesOf(readAll(t, l)); !slices.Equal(got, want) {
		t.Fatalf("read %q, want %q", got, want)
	}
}

// setTopic changes a setting of a topic, as an operator could.
func setTopic(t *testing.T, client *kafkago.Client, topic, name, value string) {
	t.Helper()
	answer, err := client.IncrementalAlterConfigs(within(t), &kafkago.IncrementalAlterConfigsRequest{
		Resources: []kafkago.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafkago.IncrementalAlterConfigsRequestConfig{{Name: name, Value: value, ConfigOperation: kafkago.ConfigOperationSet}},
		}},
	})
	if err != nil || answer.Resources[0].Error != nil {
		t.Fatalf("set %s of %s: %v, %+v", name, topic, err, answer)
	}
}

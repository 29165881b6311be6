package stream

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/seed-462d9463/sluice/shard"
)

func TestLimitsAreAWSsUnlessTheConfigurationSaysOtherwise(t *testing.T) {
	config := DefaultConfig()
	err := yaml.Unmarshal([]byte(`
streams:
  unlimited: {limits: off}
  wide: {write_bytes: 5242880, read_calls: 0}
  narrow: {limits: "off", write_records: 10}
  pushed: {consumer_bytes: 1000}
`), &config)
	if err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Limits{
		"any":       AWSLimits(),
		"unlimited": {},
		"wide":      {WriteBytes: 5 << 20, WriteRecords: 1000, ReadBytes: 2 << 20, ConsumerBytes: 2 << 20},
		"pushed":    {WriteBytes: 1 << 20, WriteRecords: 1000, ReadBytes: 2 << 20, ReadCalls: 5, ConsumerBytes: 1000},
		"narrow":    {WriteRecords: 10},
	} {
		if diff := cmp.Diff(want, config.limitsFor(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	config.Limits = "off"
	if got := config.limitsFor("any"); got != (Limits{}) {
		t.Errorf("off: %+v", got)
	}
	if got := config.limitsFor("wide"); got != (Limits{WriteBytes: 5 << 20}) {
		t.Errorf("off but wide: %+v", got)
	}
}

func TestShardsKeepWhatTheConfigurationSays(t *testing.T) {
	config := DefaultConfig()
	err := yaml.Unmarshal([]byte(`
retention_bytes: 1000000
streams:
  endless: {retention_bytes: 0}
  wide: {retention_bytes: 5000000000, compress: true}
  plain: {compress: false}
`), &config)
	if err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]shard.Settings{
		"any":     {RetentionBytes: 1000000},
		"endless": {},
		"wide":    {RetentionBytes: 5000000000},
		"plain":   {RetentionBytes: 1000000, Plain: true},
	} {
		if diff := cmp.Diff(want, config.settingsFor(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestEverythingWrongInAConfigurationIsNamed(t *testing.T) {
	negative, less := -1, int64(-2)
	config := Config{Limits: "none", ShardQuota: -2, RetentionBytes: -3, Streams: map[string]StreamConfig{
		"not a name": {}, "clicks": {Limits: "on", ReadBytes: &negative, RetentionBytes: &less},
	}}
	err := config.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{`limits: "none"`, "shard_quota: -2", `"not a name"`, `streams.clicks.limits: "on"`, "streams.clicks.read_bytes: -1",
		"retention_bytes: -3", "streams.clicks.retention_bytes: -2"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
}

func TestSingleLimitsHoldForAllStreamsThatSayNothing(t *testing.T) {
	one, two := 1, 2
	c := DefaultConfig()
	c.ShardLimits = ShardLimitConfig{WriteRecords: &two, ReadCalls: new(int)}
	c.Streams = map[string]StreamConfig{"own": {WriteRecords: &one}, "aws": {Limits: limitsAWS}, "off": {Limits: limitsOff, ReadCalls: &one}}
	aws := AWSLimits()
	for name, want := range map[string]Limits{
		"any": {aws.WriteBytes, two, aws.ReadBytes, 0, aws.ConsumerBytes},
		"own": {aws.WriteBytes, one, aws.ReadBytes, 0, aws.ConsumerBytes},
		"aws": aws,
		"off": {ReadCalls: one},
	} {
		if got := c.limitsFor(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	negative := -1
	c.ShardLimits.ReadBytes = &negative
	if err := c.Validate(); err == nil {
		t.Error("a negative limit is taken")
	}
}

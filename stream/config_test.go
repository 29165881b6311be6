package stream

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestLimitsAreAWSsUnlessTheConfigurationSaysOtherwise(t *testing.T) {
	config := DefaultConfig()
	err := yaml.Unmarshal([]byte(`
streams:
  unlimited: {limits: off}
  wide: {write_bytes: 5242880, read_calls: 0}
  narrow: {limits: "off", write_records: 10}
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
		"wide":      {WriteBytes: 5 << 20, WriteRecords: 1000, ReadBytes: 2 << 20},
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

func TestEverythingWrongInAConfigurationIsNamed(t *testing.T) {
	negative := -1
	config := Config{Limits: "none", ShardQuota: -2, Streams: map[string]StreamConfig{
		"not a name": {}, "clicks": {Limits: "on", ReadBytes: &negative},
	}}
	err := config.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{`limits: "none"`, "shard_quota: -2", `"not a name"`, `streams.clicks.limits: "on"`, "streams.clicks.read_bytes: -1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
}

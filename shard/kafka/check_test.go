package kafka

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
)

func TestJudgeNamesWhatDurabilityNeeds(t *testing.T) {
	good := map[string]string{}
	for _, s := range topicSettings(3) {
		good[s.name] = s.value
	}
	for _, c := range []struct {
		set, to           string
		replicas, brokers int
		unsafe, weak      string
	}{
		{"", "", 3, 3, "", ""},
		{"", "", 1, 3, "", "replicas"},
		{"", "", 1, 1, "", "nothing can be written"},
		{"min.insync.replicas", "1", 1, 1, "", ""},
		{"min.insync.replicas", "1", 3, 3, "min.insync.replicas", ""},
		{"cleanup.policy", "compact", 3, 3, "cleanup.policy", ""},
		{"cleanup.policy", "delete,compact", 3, 3, "cleanup.policy", ""},
		{"retention.ms", "604800000", 3, 3, "retention.ms", ""},
		{"retention.bytes", "1", 3, 3, "retention.bytes", ""},
		{"unclean.leader.election.enable", "true", 3, 3, "unclean.leader", ""},
		{"message.timestamp.type", "LogAppendTime", 3, 3, "timestamp.type", ""},
		{"max.message.bytes", "1048588", 3, 3, "", "max.message.bytes"},
	} {
		settings := map[string]string{}
		for k, v := range good {
			settings[k] = v
		}
		if c.set != "" {
			settings[c.set] = c.to
		}
		v := judge(settings, c.replicas, c.brokers)
		for kind, pair := range map[string][2]string{"unsafe": {strings.Join(v.unsafe, ";"), c.unsafe}, "weak": {strings.Join(v.weak, ";"), c.weak}} {
			if got, want := pair[0], pair[1]; (want == "") != (got == "") || !strings.Contains(got, want) {
				t.Errorf("%s=%s on %d of %d brokers: %s is %q, want %q", c.set, c.to, c.replicas, c.brokers, kind, got, want)
			}
		}
	}
}

func TestUnsafeTopicSettingsAreRefusedByName(t *testing.T) {
	opts := options(one.Cluster(t).Addresses(kafkatest.Plain))
	opts.TopicPrefix = "unsafe."
	e := mustOpen(t, opts)
	l := makeLog(t, e, "log")
	mustAppend(t, l, "a")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	setTopic(t, plainClient(t), "unsafe.log", "retention.ms", "86400000")
	// A broker may hear of it a little later.
	plainEventually(t, func() error {
		e, err := Open(within(t), opts)
		if err == nil {
			e.Close()
			return errors.New("it was opened")
		}
		if !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "unsafe.log: retention.ms is 86400000") {
			return fmt.Errorf("not the right error: %w", err)
		}
		return nil
	})
	opts.AllowUnsafe = true
	e = mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	if got := valuesOf(readAll(t, openLog(t, e, "log", 0))); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("read %q", got)
	}
}

// deleteTopics deletes topics as an operator could by mistake.
func deleteTopics(t *testing.T, e *Engine, names ...string) {
	t.Helper()
	for _, name := range names {
		err := e.cluster.repeat(within(t), "delete", func() error {
			info, err := e.cluster.topic(within(t), name)
			if err != nil {
				return err
			}
			return e.deleteInKafka(within(t), name, info.id)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMissingControlTopicIsRefused(t *testing.T) {
	onBoth(t, "uncontrolled.", func(t *testing.T, opts Options) {
		e := mustOpen(t, opts)
		mustAppend(t, makeLog(t, e, "log"), "a")
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		other := opts
		other.TopicPrefix = "someone.else."
		tool := mustOpen(t, other) // topics of another prefix are no obstacle
		t.Cleanup(func() { tool.Close() })
		deleteTopics(t, tool, "uncontrolled."+controlName)
		for range 2 {
			e, err := Open(within(t), opts)
			if err == nil {
				e.Close()
				t.Fatal("opened without the control topic")
			}
			if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "uncontrolled.log") {
				t.Fatalf("error %v, want one that names the topic that is left", err)
			}
		}
		// Others on this broker have no prefix, and would take it for theirs.
		deleteTopics(t, tool, "uncontrolled.log")
	})
}

func TestTopicThatOthersDeletedIsNamedAndNotMadeAnew(t *testing.T) {
	onBoth(t, "missing.", func(t *testing.T, opts Options) {
		opts.lookPatience = time.Second
		e := mustOpen(t, opts)
		mustAppend(t, makeLog(t, e, "kept"), "a")
		mustAppend(t, makeLog(t, e, "gone"), "b")
		deleteTopics(t, e, "missing.gone")
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = mustOpen(t, opts)
		t.Cleanup(func() { e.Close() })
		if _, err := e.Open(within(t), "gone", 0); !errors.Is(err, ErrForeign) {
			t.Errorf("open: %v", err)
		}
		if err := e.Create(within(t), "gone", 1); !errors.Is(err, ErrForeign) {
			t.Errorf("create: %v", err)
		}
		if got := valuesOf(readAll(t, openLog(t, e, "kept", 0))); !slices.Equal(got, []string{"a"}) {
			t.Errorf("read %q", got)
		}
		// Who wants to be rid of it says so.
		if err := e.Delete(within(t), "gone"); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, makeLog(t, e, "gone"), "c")
	})
}

package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/protocol/describeconfigs"
)

// topicSettings are those of every topic that is made. All are written out, so that a cluster's defaults do not matter.
func topicSettings(replication int) []setting {
	inSync := 1
	if replication >= 3 {
		inSync = 2
	}
	const forever = "-1"
	return []setting{
		{"cleanup.policy", "delete"}, {"retention.ms", forever}, {"retention.bytes", forever},
		{"max.message.bytes", strconv.Itoa(maxBatchBytes)}, {"message.timestamp.type", "CreateTime"},
		{"message.timestamp.before.max.ms", maxMillis}, {"message.timestamp.after.max.ms", maxMillis},
		{"min.insync.replicas", strconv.Itoa(inSync)}, {"unclean.leader.election.enable", "false"},
	}
}

const maxMillis = "9223372036854775807"

// describe asks for the settings of topics.
func (e *Engine) describe(ctx context.Context, names []string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for part := range slices.Chunk(names, maxAsked) {
		request := &describeconfigs.Request{}
		for _, name := range part {
			const topicResource = 2
			request.Resources = append(request.Resources, describeconfigs.RequestResource{ResourceType: topicResource, ResourceName: name,
				ConfigNames: []string{"cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes",
					"message.timestamp.type", "min.insync.replicas", "unclean.leader.election.enable"}})
		}
		err := e.cluster.repeat(ctx, "read the settings of topics", func() error {
			return e.cluster.someone(ctx, func(n *node) error {
				answer, err := n.message(ctx, request)
				if err != nil {
					return err
				}
				for _, r := range answer.(*describeconfigs.Response).Resources {
					if r.ErrorCode == codeUnknownTopic {
						continue
					}
					if err := asError(r.ErrorCode, r.ResourceName+": "+r.ErrorMessage); err != nil {
						return err
					}
					settings := map[string]string{}
					for _, c := range r.ConfigEntries {
						settings[c.ConfigName] = c.ConfigValue
					}
					out[r.ResourceName] = settings
				}
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// looksOurs tells whether a topic has settings as only our topics have. The size that a batch may have is one that
// nobody else would think of.
func looksOurs(settings map[string]string) bool {
	return settings["max.message.bytes"] == strconv.Itoa(maxBatchBytes) && settings["retention.ms"] == "-1"
}

// verdict is what is wrong with a topic's settings.
type verdict struct {
	unsafe []string // acknowledged records may be lost, or not be kept as they were
	weak   []string // a broker's disk may take them along
}

func judge(settings map[string]string, replicas, brokers int) (v verdict) {
	unsafe := func(format string, args ...any) { v.unsafe = append(v.unsafe, fmt.Sprintf(format, args...)) }
	weak := func(format string, args ...any) { v.weak = append(v.weak, fmt.Sprintf(format, args...)) }
	if policy := settings["cleanup.policy"]; policy != "" && policy != "delete" {
		unsafe("cleanup.policy is %s, must be delete", policy)
	}
	for _, name := range []string{"retention.ms", "retention.bytes"} {
		if value := settings[name]; value != "" && value != "-1" {
			unsafe("%s is %s, must be -1: Sluice drops records itself", name, value)
		}
	}
	if kind := settings["message.timestamp.type"]; kind != "" && kind != "CreateTime" {
		unsafe("message.timestamp.type is %s, must be CreateTime", kind)
	}
	if replicas > 1 && settings["unclean.leader.election.enable"] == "true" {
		unsafe("unclean.leader.election.enable is true, must be false")
	}
	inSync, err := strconv.Atoi(settings["min.insync.replicas"])
	switch {
	case replicas < 3 && brokers >= 3:
		weak("there are %d replicas on %d brokers, should be 3", replicas, brokers)
	case replicas >= 3 && err == nil && inSync < 2:
		unsafe("min.insync.replicas is %d, must be 2 or more", inSync)
	case err == nil && inSync > replicas:
		weak("min.insync.replicas is %d with %d replicas: nothing can be written", inSync, replicas)
	}
	if size, err := strconv.Atoi(settings["max.message.bytes"]); err == nil && size < maxBatchBytes {
		weak("max.message.bytes is %d, should be %d: bigger appends fail", size, maxBatchBytes)
	}
	return v
}

// inspectTopics holds all topics against what the control topic says of them, and their settings against what
// durability needs.
func (e *Engine) inspectTopics(ctx context.Context) error {
	brokers, err := e.cluster.brokers(ctx)
	if err != nil {
		return err
	}
	topics := map[string]*topic{e.control.topic.kafka: e.control.topic}
	for _, t := range e.topics {
		topics[t.kafka] = t
	}
	names := slices.Sorted(maps.Keys(topics))
	infos, err := e.find(ctx, topics)
	if err != nil {
		return err
	}
	settings, err := e.describe(ctx, names)
	if err != nil {
		return err
	}
	var bad []string
	for _, name := range names {
		info := infos[name]
		if info == nil {
			t := topics[name]
			t.broken = fmt.Errorf("%w: topic %s is not there any more, or another one has its name: it was deleted by others", ErrForeign, name)
			e.opts.Logger.Error("a topic is missing in Kafka; whatever needs it fails", "topic", name, "id", t.id)
			continue
		}
		replicas := 0
		if len(info.partitions) > 0 {
			replicas = info.partitions[0].replicas
		}
		v := judge(settings[name], replicas, brokers)
		if len(v.weak) > 0 {
			e.opts.Logger.Warn("a topic in Kafka is less safe than it could be", "topic", name, "settings", strings.Join(v.weak, "; "))
		}
		if len(v.unsafe) > 0 {
			bad = append(bad, fmt.Sprintf("topic %s: %s", name, strings.Join(v.unsafe, "; ")))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	if e.opts.AllowUnsafe {
		e.opts.Logger.Warn("topics in Kafka have settings with which acknowledged records may be lost", "topics", strings.Join(bad, " | "))
		return nil
	}
	return fmt.Errorf("%w: change them, or set allow_unsafe: %s", ErrUnsafe, strings.Join(bad, " | "))
}

// find returns the topics that are there as they were left. One that a broker does not know is looked for again, at least
// once: the broker may have just been started.
func (e *Engine) find(ctx context.Context, topics map[string]*topic) (map[string]*topicInfo, error) {
	found := map[string]*topicInfo{}
	began := time.Now()
	for n := 0; ; n++ {
		var missing []string
		for name := range topics {
			if found[name] == nil {
				e.cluster.forget(name)
				missing = append(missing, name)
			}
		}
		err := e.cluster.repeat(ctx, "look for topics", func() error { return e.cluster.refresh(ctx, missing) })
		if err != nil {
			return nil, err
		}
		unknown := false
		for _, name := range missing {
			e.cluster.mu.Lock()
			info := e.cluster.topics[name]
			e.cluster.mu.Unlock()
			if info != nil && info.id == topics[name].id {
				found[name] = info
			} else {
				unknown = true
			}
		}
		if !unknown || n > 0 && time.Since(began) > e.opts.lookPatience {
			return found, nil
		}
		if err := pause(ctx, backoff(n)); err != nil {
			return nil, err
		}
	}
}

// refuseStrangers is for a control topic that says nothing: either this is the first start, or it was lost, and then the
// topics that it was about must not be taken for anybody's.
func (e *Engine) refuseStrangers(ctx context.Context) error {
	var m *metadata
	err := e.cluster.repeat(ctx, "list topics", func() (err error) {
		m, err = e.cluster.metadata(ctx, nil)
		return err
	})
	if err != nil {
		return err
	}
	var others []string // prefixes of other Sluices in the cluster
	for _, t := range m.topics {
		if prefix, is := strings.CutSuffix(t.name, controlName); is && prefix != e.opts.TopicPrefix {
			others = append(others, prefix)
		}
	}
	var names []string
	for _, t := range m.topics {
		if t.code != 0 || t.name == e.control.topic.kafka || !strings.HasPrefix(t.name, e.opts.TopicPrefix) ||
			slices.ContainsFunc(others, func(prefix string) bool {
				return len(prefix) > len(e.opts.TopicPrefix) && strings.HasPrefix(t.name, prefix)
			}) {
			continue
		}
		names = append(names, t.name)
	}
	settings, err := e.describe(ctx, names)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !looksOurs(settings[name]) })
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("%w: the control topic %s is missing or empty, but %d topics of a Sluice are there (%s): restore it, "+
		"delete them, or choose another topic_prefix", ErrForeign, e.control.topic.kafka, len(names),
		strings.Join(names[:min(len(names), 5)], ", "))
}

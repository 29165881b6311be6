package firehose

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
)

const (
	topicPrefix = "firehose."
	stateSuffix = ".state"
	maxTopic    = 249 // Kafka's rule
)

// topic names the logs of a delivery stream. The id alone tells them apart; the rest is for people, and is cut
// if it is too long.
func topic(name Name, id, suffix string) string {
	readable := topicPrefix + name.Account + "." + name.Region + "." + name.Name
	tail := "." + id + suffix
	return readable[:min(len(readable), maxTopic-len(tail))] + tail
}

// removeOrphans deletes the logs of delivery streams that the catalog does not know: a crash came between the
// one and the other.
func (s *Service) removeOrphans(ctx context.Context, entries []catalog.Entry) error {
	known := map[string]bool{}
	for _, e := range entries {
		name := Name{Account: e.Key.Account, Region: e.Key.Region, Name: e.Key.Name}
		doc, err := decodeDocument(e.Value)
		if err != nil {
			return fmt.Errorf("delivery stream %s: %w", name, err)
		}
		known[topic(name, doc.ID, "")], known[topic(name, doc.ID, stateSuffix)] = true, true
	}
	topics, err := s.engine.Topics(ctx)
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	for _, t := range topics {
		if !strings.HasPrefix(t.Name, topicPrefix) || known[t.Name] {
			continue
		}
		if !s.catalog.Complete() {
			s.log.Warn("keeping a log of an unknown delivery stream: its definition may be one of those that were lost", "topic", t.Name)
			continue
		}
		s.log.Info("removing a log that no delivery stream has", "topic", t.Name)
		if err := s.engine.Delete(ctx, t.Name); err != nil {
			return fmt.Errorf("remove log %s: %w", t.Name, err)
		}
	}
	return nil
}

// makeLogs creates the logs of a new delivery stream, and writes down where it starts to read its source.
func (s *Service) makeLogs(ctx context.Context, name Name, doc document) error {
	st := newState()
	if doc.Definition.Type == KinesisStreamAsSource {
		from := doc.Definition.Kinesis.stream()
		logs, _, err := s.sources.Logs(from.Account, from.Region, from.Name)
		if err != nil {
			return err
		}
		for _, l := range logs {
			_, next := l.Log.Bounds()
			st.floors[source{Generation: l.Generation, Partition: l.Partition}] = next
		}
	} else if err := s.engine.Create(ctx, topic(name, doc.ID, ""), 1); err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	if err := s.engine.Create(ctx, topic(name, doc.ID, stateSuffix), 1); err != nil {
		return fmt.Errorf("create state log: %w", err)
	}
	log, err := s.engine.Open(shard.Essential(ctx), topic(name, doc.ID, stateSuffix), 0)
	if err != nil {
		return fmt.Errorf("open state log: %w", err)
	}
	if _, err := log.Append(ctx, []shard.Record{{Value: encodeSnapshot(st)}}).Wait(ctx); err != nil {
		return fmt.Errorf("write state log: %w", err)
	}
	return nil
}

// deleteLogs goes on when the caller has gone away.
func (s *Service) deleteLogs(ctx context.Context, name Name, doc document) error {
	ctx = context.WithoutCancel(ctx)
	return errors.Join(
		s.engine.Delete(ctx, topic(name, doc.ID, "")),
		s.engine.Delete(ctx, topic(name, doc.ID, stateSuffix)))
}

package fanout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/stream"
)

// Register registers a consumer with a stream, durably; it can subscribe when Register returns. Errors:
// stream.ErrNotFound, ErrInvalidName, ErrExists, ErrQuota.
func (s *Service) Register(ctx context.Context, name stream.Name, consumer string, tags map[string]string) (Consumer, error) {
	if err := checkName(consumer); err != nil {
		return Consumer{}, err
	}
	// Neither may others register meanwhile, or there might be one too many, nor may the stream be deleted.
	if err := s.turn(ctx); err != nil {
		return Consumer{}, err
	}
	defer func() { <-s.registering }()
	d, err := s.streams.Describe(name)
	if err != nil {
		return Consumer{}, err
	}
	var left int64 // the revision of one of that name of an earlier stream, which a crash left behind
	if entry, ok := s.catalog.Get(keyOf(name, consumer)); ok {
		c, err := decode(entry)
		if err != nil {
			return Consumer{}, err
		}
		if c.StreamID == d.ID {
			return Consumer{}, fmt.Errorf("%w: %s of stream %s", ErrExists, consumer, name)
		}
		left = entry.Revision
	}
	if s.config.ConsumerQuota > 0 {
		all, err := s.consumersOf(&d)
		if err != nil {
			return Consumer{}, err
		}
		if len(all) >= s.config.ConsumerQuota {
			return Consumer{}, fmt.Errorf("%w: stream %s has %d", ErrQuota, name, len(all))
		}
	}
	c := Consumer{
		Stream: name, StreamID: d.ID, Name: consumer, ID: newID(),
		Created: time.Now().UTC().Truncate(time.Millisecond), Tags: maps.Clone(tags),
	}
	entry, err := s.catalog.Put(ctx, keyOf(name, consumer), c.document(), left)
	switch {
	case errors.Is(err, catalog.ErrConflict):
		return Consumer{}, fmt.Errorf("%w: %s of stream %s", ErrExists, consumer, name)
	case err != nil:
		return Consumer{}, fmt.Errorf("register consumer %s of stream %s: %w", consumer, name, err)
	}
	c.revision = entry.Revision
	s.logger.Info("consumer registered", "stream", name.String(), "consumer", consumer)
	return c, nil
}

// turn takes registering.
func (s *Service) turn(ctx context.Context) error {
	select {
	case s.registering <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Consumer finds a consumer. Errors: stream.ErrNotFound, ErrNotFound.
func (s *Service) Consumer(name stream.Name, consumer string) (Consumer, error) {
	d, err := s.streams.Describe(name)
	if err != nil {
		return Consumer{}, err
	}
	entry, ok := s.catalog.Get(keyOf(name, consumer))
	if !ok {
		return Consumer{}, notFound(name, consumer)
	}
	c, err := decode(entry)
	if err == nil && c.StreamID != d.ID {
		err = notFound(name, consumer)
	}
	return c, err
}

// Deregister removes a consumer, durably, and ends its subscriptions. Errors: ErrNotFound, also when the consumer was
// deregistered before.
func (s *Service) Deregister(ctx context.Context, c Consumer) error {
	_, err := s.change(c, func(current Consumer) (catalog.Entry, error) {
		return catalog.Entry{}, s.catalog.Delete(ctx, keyOf(c.Stream, c.Name), current.revision)
	})
	if err == nil {
		s.drop(&c)
		s.logger.Info("consumer deregistered", "stream", c.Stream.String(), "consumer", c.Name)
	}
	return err
}

// SetTags gives a consumer the tags that change makes of those it has, which change must not write to. Errors:
// ErrNotFound, and those of change.
func (s *Service) SetTags(ctx context.Context, c Consumer, change func(tags map[string]string) (map[string]string, error)) (Consumer, error) {
	return s.change(c, func(current Consumer) (catalog.Entry, error) {
		tags, err := change(current.Tags)
		if err != nil {
			return catalog.Entry{}, err
		}
		current.Tags = tags
		return s.catalog.Put(ctx, keyOf(c.Stream, c.Name), current.document(), current.revision)
	})
}

// SetPolicy gives a consumer the policy that change makes of the one that it has. Errors: ErrNotFound, and those of change.
func (s *Service) SetPolicy(ctx context.Context, c Consumer, change func(before string) (string, error)) (Consumer, error) {
	return s.change(c, func(current Consumer) (catalog.Entry, error) {
		policy, err := change(current.Policy)
		if err != nil {
			return catalog.Entry{}, err
		}
		current.Policy = policy
		return s.catalog.Put(ctx, keyOf(c.Stream, c.Name), current.document(), current.revision)
	})
}

// change changes a consumer as it is in the catalog, again when somebody else did so meanwhile.
func (s *Service) change(c Consumer, do func(current Consumer) (catalog.Entry, error)) (Consumer, error) {
	for {
		current, err := s.Consumer(c.Stream, c.Name)
		if err == nil && current.ID != c.ID {
			err = notFound(c.Stream, c.Name)
		}
		if err != nil {
			return Consumer{}, err
		}
		entry, err := do(current)
		switch {
		case errors.Is(err, catalog.ErrConflict):
		case err != nil:
			return Consumer{}, fmt.Errorf("change consumer %s of stream %s: %w", c.Name, c.Stream, err)
		case entry.Value == nil: // deleted
			return Consumer{}, nil
		default:
			return decode(entry)
		}
	}
}

// Consumers lists at most limit of a stream's consumers by name, from the first one after the given name on. more
// tells whether there are others after them.
func (s *Service) Consumers(d *stream.Description, after string, limit int) (consumers []Consumer, more bool, err error) {
	prefix := d.Name.Name + "/"
	for {
		const page = 100
		entries, further := s.catalog.List(d.Name.Account, d.Name.Region, kind, prefix+after, page)
		for _, e := range entries {
			if !strings.HasPrefix(e.Key.Name, prefix) {
				return consumers, false, nil
			}
			c, err := decode(e)
			if err != nil {
				return nil, false, err
			}
			after = c.Name
			if c.StreamID != d.ID {
				continue
			}
			if len(consumers) == limit {
				return consumers, true, nil
			}
			consumers = append(consumers, c)
		}
		if !further {
			return consumers, false, nil
		}
	}
}

// consumersOf lists all of a stream's consumers.
func (s *Service) consumersOf(d *stream.Description) ([]Consumer, error) {
	all, _, err := s.Consumers(d, "", -1)
	return all, err
}

// Count is how many consumers a stream has.
func (s *Service) Count(d *stream.Description) (int, error) {
	all, err := s.consumersOf(d)
	return len(all), err
}

// DeleteStream deletes a stream, with its consumers if that is enforced: else it must have none, ErrHasConsumers.
func (s *Service) DeleteStream(ctx context.Context, name stream.Name, enforce bool) error {
	if err := s.turn(ctx); err != nil {
		return err
	}
	defer func() { <-s.registering }()
	d, err := s.streams.Describe(name)
	if err != nil {
		return err
	}
	consumers, err := s.consumersOf(&d)
	if err != nil {
		return err
	}
	if len(consumers) > 0 && !enforce {
		return fmt.Errorf("%w: %s has %d", ErrHasConsumers, name, len(consumers))
	}
	if err := s.streams.Delete(ctx, name); err != nil {
		return err
	}
	for i := range consumers {
		// Without their stream they are none. One that stays goes at the next start.
		c := &consumers[i]
		s.drop(c)
		err := s.catalog.Delete(context.WithoutCancel(ctx), keyOf(name, c.Name), c.revision)
		if err != nil && !errors.Is(err, catalog.ErrConflict) {
			s.logger.Warn("a consumer of a deleted stream is left until the next start",
				"stream", name.String(), "consumer", c.Name, "error", err)
		}
	}
	return nil
}

// adopt removes the consumers of streams that are gone, whose deletion was cut off. A document that cannot be read is
// an error.
func (s *Service) adopt(ctx context.Context) error {
	for _, e := range s.catalog.All(kind) {
		c, err := decode(e)
		if err != nil {
			return err
		}
		d, err := s.streams.Describe(c.Stream)
		switch {
		case err == nil && d.ID == c.StreamID:
			continue
		case err != nil && !errors.Is(err, stream.ErrNotFound):
			return err
		case !s.catalog.Complete():
			continue // the stream may be one of the definitions that were lost
		}
		s.logger.Info("removing a consumer of a stream that is gone", "stream", c.Stream.String(), "consumer", c.Name)
		if err := s.catalog.Delete(ctx, e.Key, e.Revision); err != nil && !errors.Is(err, catalog.ErrConflict) {
			return fmt.Errorf("remove consumer %s of stream %s: %w", c.Name, c.Stream, err)
		}
	}
	return nil
}

// present tells whether a consumer is still registered, and takes note of its revision, so that it need not be read again.
func (s *Service) present(c *Consumer) bool {
	entry, ok := s.catalog.Get(keyOf(c.Stream, c.Name))
	if !ok || entry.Revision == c.revision {
		return ok
	}
	current, err := decode(entry)
	if err != nil || current.ID != c.ID {
		return false
	}
	c.revision = current.revision
	return true
}

func notFound(name stream.Name, consumer string) error {
	return fmt.Errorf("%w: %s of stream %s", ErrNotFound, consumer, name)
}

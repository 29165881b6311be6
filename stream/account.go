package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seed-462d9463/sluice/internal/catalog"
)

// accountKind is what the settings of accounts are filed under in the catalog, one document by account and region.
const (
	accountKind = "stream-account"
	accountName = "settings"
)

const accountFormat = 1

// CommitmentTime is how long an account is bound to a commitment at least (AWS's documentation of UpdateAccountSettings).
const CommitmentTime = 24 * time.Hour

// Commitment is an account's to pay for a minimum of throughput. Sluice sends no bills: it keeps what was said.
type Commitment struct {
	Enabled bool      // also while it is only until Ends
	Started time.Time // of the present or the last one; zero if there never was one
	Ends    time.Time // zero while it goes on; may lie ahead
}

// at is the commitment as it stands at a time.
func (c Commitment) at(now time.Time) Commitment {
	if !c.Ends.IsZero() && !c.Ends.After(now) {
		c.Enabled = false
	}
	return c
}

// EarliestEnd is when the commitment can end.
func (c Commitment) EarliestEnd() time.Time { return c.Started.Add(CommitmentTime) }

// enable and disable are the commitment after it was asked for, or given up, at a time. One that is too young ends later,
// and goes on if it is asked for again before.
func (c Commitment) enable(now time.Time) Commitment {
	if c = c.at(now); c.Enabled {
		c.Ends = time.Time{}
		return c
	}
	return Commitment{Enabled: true, Started: now}
}

func (c Commitment) disable(now time.Time) Commitment {
	if c = c.at(now); !c.Enabled || !c.Ends.IsZero() {
		return c
	}
	c.Ends = now
	if earliest := c.EarliestEnd(); earliest.After(now) {
		c.Ends = earliest
	}
	return c.at(now)
}

// accountDocument is what the catalog keeps; times in milliseconds since 1970, 0 for none.
type accountDocument struct {
	Format  int   `json:"format"`
	Enabled bool  `json:"enabled"`
	Started int64 `json:"started,omitempty"`
	Ends    int64 `json:"ends,omitempty"`
}

// Commitment is what an account has committed itself to in a region, as of now.
func (s *Service) Commitment(account, region string, now time.Time) (Commitment, error) {
	c, _, err := s.commitment(account, region)
	return c.at(now), err
}

func (s *Service) commitment(account, region string) (Commitment, int64, error) {
	if s.closed.Load() {
		return Commitment{}, 0, ErrClosed
	}
	entry, ok := s.catalog.Get(accountKey(account, region))
	if !ok {
		return Commitment{}, 0, nil
	}
	var doc accountDocument
	if err := json.Unmarshal(entry.Value, &doc); err != nil {
		return Commitment{}, 0, fmt.Errorf("settings of account %s: %w", account, err)
	}
	if doc.Format != accountFormat {
		return Commitment{}, 0, fmt.Errorf("settings of account %s have format %d; this version of sluice reads format %d",
			account, doc.Format, accountFormat)
	}
	return Commitment{Enabled: doc.Enabled, Started: fromMilli(doc.Started), Ends: fromMilli(doc.Ends)}, entry.Revision, nil
}

// SetCommitment makes a commitment or gives it up, durably, and returns what has become of it.
func (s *Service) SetCommitment(ctx context.Context, account, region string, enabled bool, now time.Time) (Commitment, error) {
	now = now.UTC().Truncate(time.Millisecond)
	for {
		before, revision, err := s.commitment(account, region)
		if err != nil {
			return Commitment{}, err
		}
		after := before.disable(now)
		if enabled {
			after = before.enable(now)
		}
		if after == before {
			return after, nil
		}
		doc := accountDocument{Format: accountFormat, Enabled: after.Enabled, Started: toMilli(after.Started), Ends: toMilli(after.Ends)}
		_, err = s.catalog.Put(ctx, accountKey(account, region), doc, revision)
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		if err != nil {
			return Commitment{}, fmt.Errorf("settings of account %s: %w", account, err)
		}
		return after, nil
	}
}

func accountKey(account, region string) catalog.Key {
	return catalog.Key{Account: account, Region: region, Kind: accountKind, Name: accountName}
}

func toMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Usage is what an account has in a region, and what it may have; a limit of 0 is none.
type Usage struct {
	Shards, ShardQuota                   int // open ones of provisioned streams
	OnDemandStreams, OnDemandStreamQuota int
}

// Usage counts what an account has in a region.
func (s *Service) Usage(account, region string) Usage {
	u := Usage{ShardQuota: s.config.ShardQuota, OnDemandStreamQuota: s.config.OnDemandStreamQuota}
	for _, d := range s.all(account, region) {
		if d.OnDemand {
			u.OnDemandStreams++
		} else {
			u.Shards += d.OpenShards
		}
	}
	return u
}

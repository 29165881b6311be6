package fanout

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/stream"
)

// Consumer is one that is registered with a stream. It is a snapshot; its map is shared and must not be written to. A
// consumer that can be found is active.
type Consumer struct {
	Stream   stream.Name
	StreamID string // tells the stream from others that have had its name
	Name     string // unique within its stream
	ID       string // tells the consumer from others that have had its name
	Created  time.Time
	Tags     map[string]string
	Policy   string // whom else the owner lets use it, a document of the API's; "" without one

	revision int64
}

// MaxNameLength is the longest name a consumer may have.
const MaxNameLength = 128

// kind is what consumers are filed under in the catalog, by "STREAM/CONSUMER".
const kind = "stream-consumer"

// documentFormat is the version of the document that this code writes and reads. One of another version is refused.
const documentFormat = 1

// document is a consumer as the catalog keeps it.
type document struct {
	Format   int               `json:"format"`
	ID       string            `json:"id"`
	StreamID string            `json:"streamId"`
	Created  int64             `json:"created"` // milliseconds since 1970
	Tags     map[string]string `json:"tags,omitempty"`
	Policy   string            `json:"policy,omitempty"`
}

func (c *Consumer) document() document {
	return document{
		Format: documentFormat, ID: c.ID, StreamID: c.StreamID, Created: c.Created.UnixMilli(), Tags: c.Tags, Policy: c.Policy,
	}
}

func keyOf(name stream.Name, consumer string) catalog.Key {
	return catalog.Key{Account: name.Account, Region: name.Region, Kind: kind, Name: name.Name + "/" + consumer}
}

func decode(e catalog.Entry) (Consumer, error) {
	streamName, name, ok := strings.Cut(e.Key.Name, "/")
	var doc document
	if err := json.Unmarshal(e.Value, &doc); err != nil || !ok {
		return Consumer{}, fmt.Errorf("consumer document %s: %w", e.Key, err)
	}
	if doc.Format != documentFormat {
		return Consumer{}, fmt.Errorf("consumer document %s has format %d; this version of sluice reads format %d",
			e.Key, doc.Format, documentFormat)
	}
	return Consumer{
		Stream:   stream.Name{Account: e.Key.Account, Region: e.Key.Region, Name: streamName},
		StreamID: doc.StreamID, Name: name, ID: doc.ID, Created: time.UnixMilli(doc.Created).UTC(), Tags: doc.Tags, Policy: doc.Policy,
		revision: e.Revision,
	}, nil
}

// checkName returns an error that wraps ErrInvalidName unless the name is [a-zA-Z0-9_.-]{1,128}.
func checkName(name string) error {
	bad := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-'
	}
	if name == "" || len(name) > MaxNameLength || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%w: %.140q must match [a-zA-Z0-9_.-]{1,%d}", ErrInvalidName, name, MaxNameLength)
	}
	return nil
}

func newID() string { return rand.Text() }

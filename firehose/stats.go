package firehose

import "time"

// Stats is how a delivery stream is doing.
type Stats struct {
	// Since the process started; DirectPut only.
	IncomingRequests, IncomingRecords, IncomingBytes int64

	// Since the delivery stream was created. Bytes are counted before compression, with delimiters.
	DeliveredObjects, DeliveredRecords, DeliveredBytes int64
	LostRecords                                        int64 // dropped by their source before they were delivered

	// Not delivered yet. Records counts all, Bytes those that have been scanned: while the bucket is away,
	// only a bounded part of the backlog is.
	BufferedRecords, BufferedBytes int64
	OpenObjects                    int       // decided on and not in their bucket yet
	Oldest                         time.Time // arrival of the oldest record scanned and not delivered; zero if there is none

	Failures    int64     // attempts to deliver an object, since the process started
	LastSuccess time.Time // of a delivery, or the start of the process
	LastError   error     // of the attempts since the last success; nil if none failed
}

// Lag is the age of the oldest record that is not delivered.
func (s Stats) Lag(now time.Time) time.Duration {
	if s.Oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.Oldest))
}

// Stats tells how a delivery stream is doing.
func (s *Service) Stats(name Name) (Stats, error) {
	d, err := s.delivery(name)
	if err != nil {
		return Stats{}, err
	}
	return d.stats(), nil
}

func (d *delivery) stats() Stats {
	out := Stats{
		IncomingRequests: d.incoming.requests.Load(),
		IncomingRecords:  d.incoming.records.Load(),
		IncomingBytes:    d.incoming.bytes.Load(),
	}
	d.uploads.mu.Lock()
	out.Failures, out.LastSuccess, out.LastError = d.uploads.failures, d.uploads.success, d.uploads.last
	d.uploads.mu.Unlock()

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		out.LastError = d.failed
	}
	c := d.state.counters
	out.DeliveredObjects, out.DeliveredRecords, out.DeliveredBytes = c.Objects, c.Records, c.Bytes
	out.LostRecords = c.Lost + d.batch.skipped
	waiting := func(records, bytes int64, oldest time.Time) {
		out.BufferedRecords += records
		out.BufferedBytes += bytes
		if records > 0 && (out.Oldest.IsZero() || oldest.Before(out.Oldest)) {
			out.Oldest = oldest
		}
	}
	for _, in := range d.state.intents {
		if !in.done {
			waiting(in.Records, in.Bytes, in.Oldest)
			out.OpenObjects++
		}
	}
	waiting(d.batch.records, d.batch.bytes, d.batch.oldest)
	for _, in := range d.inputs {
		first, next := in.log.Bounds()
		out.BufferedRecords += max(0, int64(next-max(first, in.pos)))
	}
	for i := range d.sources { // those that wait for shards before them
		if l := &d.sources[i]; d.inputs[l.source()] == nil {
			first, next := l.Log.Bounds()
			out.BufferedRecords += int64(next - first)
		}
	}
	return out
}

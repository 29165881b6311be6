package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"sync"
	"time"
	"unicode/utf8"
)

// recordPrinter writes records of several shards, whole ones, one after the other.
type recordPrinter struct {
	asJSON bool

	mu    sync.Mutex // guards out and left
	out   *bufio.Writer
	left  int64 // records that may still be printed
	limit bool
}

// errEnough: as many records as were asked for are printed.
var errEnough = errors.New("enough records")

func newRecordPrinter(w io.Writer, asJSON bool, limit int64) *recordPrinter {
	return &recordPrinter{asJSON: asJSON, out: bufio.NewWriterSize(w, 64<<10), left: limit, limit: limit > 0}
}

// printed is a record as it is shown.
type printed struct {
	Shard          string `json:"shard"`
	SequenceNumber string `json:"sequenceNumber"`
	// SubSequence and ExplicitHashKey are those of a user record in an aggregated one.
	SubSequence     *int      `json:"subSequenceNumber,omitempty"`
	PartitionKey    string    `json:"partitionKey"`
	ExplicitHashKey string    `json:"explicitHashKey,omitempty"`
	Arrival         time.Time `json:"arrival"`
	Data            *string   `json:"data,omitempty"`
	Base64          []byte    `json:"dataBase64,omitempty"`
	raw             []byte
}

// print writes the records of one shard and sends them on their way. errEnough with the last record.
func (p *recordPrinter) print(records iter.Seq[printed]) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range records {
		if p.limit && p.left == 0 {
			break
		}
		if err := p.write(&r); err != nil {
			return err
		}
		p.left--
	}
	if err := p.out.Flush(); err != nil {
		return err
	}
	if p.limit && p.left == 0 {
		return errEnough
	}
	return nil
}

func (p *recordPrinter) write(r *printed) error {
	if p.asJSON {
		if utf8.Valid(r.raw) {
			r.Data = new(string(r.raw))
		} else {
			r.Base64 = r.raw
		}
		encoder := json.NewEncoder(p.out)
		encoder.SetEscapeHTML(false) // it is read by people and jq, not put into a page
		return encoder.Encode(r)
	}
	if _, err := p.out.Write(r.raw); err != nil {
		return err
	}
	return p.out.WriteByte('\n')
}

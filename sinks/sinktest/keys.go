package sinktest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/sinks"
)

// Keys that every sink has to keep: what AWS's naming guide calls safe characters, and what Firehose makes.
var plainKeys = []string{
	"a",
	"2026/11/21/05/clicks-1-2026-11-21-05-56-00-0d6b8f3e-6a0c-5b1e-9a55-52c3f4f6f1c7.gz",
	"year=2026/month=11/day=21/part.gz",
	"with space/and'quote'(1)!*_-.txt",
	"upper/UPPER/Upper",
	".hidden/..also/...three",
	"grüße/日本語/🌊.json",
	strings.Repeat("deep/", 60) + "end",
	strings.Repeat("n", 255),
}

// Keys that a sink may refuse, but must not change. Those of one group are put into one bucket; no key is the
// path of another of its group, for that is a check of its own.
var oddKeys = [][]string{
	{
		"/leading", "trailing/", "double//slash",
		"../up", "a/../b", "c/./d", "e/..", "./f",
		"percent%41", "percent%2Fslash", "percentA", "100%", "100%25",
		"question?mark", "hash#mark", "plus+sign", "amp&er=sand;colon:at@",
		`back\slash`, `..\..\up`, `quote"<>|`, "tab\tnewline\nreturn\r", "\x01control\x7f",
		" space at the ends ", "g/ /h", "i/ . /j", ".tmp/x", "CON", "nul.txt",
		"e\u0301 composed \u00e9", "\u202eright to left",
		strings.Repeat("n", 256), strings.Repeat("o", 1024), strings.Repeat("x/", 511) + "yy",
		strings.Repeat("%", 100), strings.Repeat("%", 85), strings.Repeat("ü", 127), strings.Repeat("ü", 128),
	},
	{"/", ".", "..", "%2E", "%2E%2E", " ", ".tmp"},
	{"//", "leading", "slash", "%"},
}

// each key holds itself, so that two keys that end up as one are found.
func keyed(key string) content { return content{seed: uint64(len(key)) + fold(key), size: 100} }

func fold(key string) uint64 {
	hash := uint64(14695981039346656037)
	for _, b := range []byte(key) {
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return hash
}

func checkKeys(t *testing.T, h Harness, odd []string) {
	for _, key := range plainKeys {
		h.put(t, key, keyed(key))
	}
	kept := append([]string(nil), plainKeys...)
	for _, key := range odd {
		err := h.Sink.Put(t.Context(), sinks.Object{Key: key, Body: keyed(key)})
		switch {
		case err == nil:
			kept = append(kept, key)
		case isRefused(err):
			if _, err := h.Sink.Stat(t.Context(), key); err == nil {
				t.Errorf("key %q was refused, but there is such an object", key)
			}
		default:
			t.Errorf("put %q: %v, want nil or a permanent %q", key, err, sinks.ErrInvalidKey)
		}
	}
	t.Logf("%d of %d odd keys are kept", len(kept)-len(plainKeys), len(odd))
	for _, key := range kept {
		h.expect(t, key, keyed(key))
	}
	h.expectNoLeftovers(t)
}

func checkInvalidKeys(t *testing.T, h Harness) {
	for _, key := range []string{"", strings.Repeat("k", 1025), "no\xffutf8", "nul\x00"} {
		body := &bytes.Buffer{}
		if err := h.Sink.Put(t.Context(), sinks.Object{Key: key, Body: body}); !isRefused(err) {
			t.Errorf("put %q: %v, want a permanent %q", key, err, sinks.ErrInvalidKey)
		}
		if _, err := h.Sink.Stat(t.Context(), key); !isRefused(err) {
			t.Errorf("stat %q: %v, want a permanent %q", key, err, sinks.ErrInvalidKey)
		}
	}
	h.expectNoLeftovers(t)
}

func checkNestedKeys(t *testing.T, h Harness) {
	for _, pair := range [][2]string{{"first", "first/below"}, {"second/below", "second"}, {"third/x/y/z", "third/x"}} {
		h.put(t, pair[0], keyed(pair[0]))
		err := h.Sink.Put(t.Context(), sinks.Object{Key: pair[1], Body: keyed(pair[1])})
		switch {
		case err == nil:
			h.expect(t, pair[1], keyed(pair[1]))
		case isRefused(err):
			h.expectNothing(t, pair[1])
		default:
			t.Errorf("put %q where %q is: %v, want nil or a permanent %q", pair[1], pair[0], err, sinks.ErrInvalidKey)
		}
		h.expect(t, pair[0], keyed(pair[0]))
	}
	h.expectNoLeftovers(t)
}

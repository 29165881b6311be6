package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func readLines(l *lineReader) (lines []string, long []int64, err error) {
	for {
		b, err := l.nextBatch()
		for _, line := range b.lines {
			lines = append(lines, string(line))
		}
		var tooLong *longLineError
		switch {
		case errors.As(err, &tooLong):
			long = append(long, tooLong.number)
		case errors.Is(err, io.EOF):
			return lines, long, nil
		case err != nil:
			return lines, long, err
		}
	}
}

func TestLinesAreTheBytesBetweenLineFeeds(t *testing.T) {
	huge := strings.Repeat("x", 300<<10) // longer than the reader's buffer
	for _, c := range []struct {
		name, input string
		want        []string
		long        []int64
	}{
		{name: "nothing", input: ""},
		{name: "an empty line", input: "\n", want: []string{""}},
		{name: "no line feed at the end", input: "a\nb", want: []string{"a", "b"}},
		{name: "empty lines between", input: "a\n\n\nb\n", want: []string{"a", "", "", "b"}},
		{name: "other bytes are kept", input: "a\r\n\x00\xff \n", want: []string{"a\r", "\x00\xff "}},
		{name: "long lines", input: huge + "\n" + huge, want: []string{huge, huge}},
		{
			name: "too long a line is told by its number", input: "a\n" + strings.Repeat("y", 1<<20+1) + "\nb\n",
			want: []string{"a", "b"}, long: []int64{2},
		},
		{name: "just short enough", input: strings.Repeat("z", 1<<20), want: []string{strings.Repeat("z", 1<<20)}},
		{name: "too long at the end", input: strings.Repeat("z", 1<<20+1), long: []int64{1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, long, err := readLines(newLineReader(strings.NewReader(c.input), "input", 1<<20))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, lines); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.long, long); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLinesJoinedAreTheInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		input := rapid.SliceOf(rapid.SampledFrom([]byte("ab\r\n\n\x00"))).Draw(t, "input")
		l := newLineReader(bytes.NewReader(input), "input", 1<<20)
		l.eager = rapid.Bool().Draw(t, "eager")
		lines, _, err := readLines(l)
		if err != nil {
			t.Fatal(err)
		}
		joined := strings.Join(lines, "\n")
		if bytes.HasSuffix(input, []byte("\n")) {
			joined += "\n"
		}
		if joined != string(input) {
			t.Fatalf("%q became %q", input, joined)
		}
	})
}

func TestBatchesKeepTheBoundsOfOneRequest(t *testing.T) {
	l := newLineReader(strings.NewReader(strings.Repeat("short\n", 1200)), "input", 1<<20)
	l.eager = true
	var sizes []int
	var firsts []int64
	for {
		b, err := l.nextBatch()
		if len(b.lines) > 0 {
			sizes, firsts = append(sizes, len(b.lines)), append(firsts, b.first)
		}
		if err != nil {
			break
		}
	}
	if diff := cmp.Diff([]int{500, 500, 200}, sizes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{1, 501, 1001}, firsts); diff != "" {
		t.Error(diff)
	}
}

// A pipe whose writer pauses must not hold back what came through it.
func TestLinesOfASlowWriterAreNotHeldBack(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	l := newLineReader(r, "input", 1<<20)
	go func() { _, _ = io.WriteString(w, "one\ntwo\nthr") }()
	b, err := l.nextBatch()
	if err != nil || len(b.lines) != 2 {
		t.Fatalf("%d lines, %v", len(b.lines), err)
	}
	go func() { _, _ = io.WriteString(w, "ee"); w.Close() }()
	if b, _ = l.nextBatch(); len(b.lines) != 1 || string(b.lines[0]) != "three" {
		t.Fatalf("%q", b.lines)
	}
}

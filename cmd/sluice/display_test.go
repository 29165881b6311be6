package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestATerminalShowsOneBlockThatIsDrawnAnew(t *testing.T) {
	var out bytes.Buffer
	d := &display{out: &out, terminal: true, width: func() int { return 10 }}
	d.print("hello\n")
	d.show([]string{"one", "a line that is too long"}, "plain")
	d.show([]string{"two"}, "plain")
	d.print("between\n")
	d.show(nil, "")
	d.print("end\n")
	want := "hello\n" +
		"one\na line th\n" +
		"\x1b[2A\r\x1b[Jtwo\n" +
		"\x1b[1A\r\x1b[Jbetween\ntwo\n" +
		"\x1b[1A\r\x1b[Jend\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestElsewhereLinesFollowOneAnother(t *testing.T) {
	var out bytes.Buffer
	d := newDisplay(&out)
	d.print("hello\n")
	d.show([]string{"block"}, "plain")
	d.show(nil, "")
	d.print("end\n")
	if diff := cmp.Diff("hello\nplain\nend\n", out.String()); diff != "" {
		t.Error(diff)
	}
	if d.around(&out) != &out {
		t.Error("messages are kept apart from a block that is not there")
	}
}

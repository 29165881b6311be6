package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// display shows the state of long work: on a terminal as a block at the bottom that is drawn anew, elsewhere as
// lines one after the other. What is printed or logged meanwhile goes above the block.
type display struct {
	out      io.Writer
	terminal bool
	width    func() int

	mu    sync.Mutex // guards what follows and all writing to out
	block []string   // as it stands on the terminal
}

func newDisplay(out io.Writer) *display {
	d := &display{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		d.terminal = true
		d.width = func() int {
			width, _, err := term.GetSize(int(f.Fd()))
			if err != nil || width <= 0 {
				return 80
			}
			return width
		}
	}
	return d
}

// show replaces the block on a terminal. Elsewhere it prints the plain form, if there is one.
func (d *display) show(block []string, plain string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.terminal {
		if plain != "" {
			fmt.Fprintln(d.out, plain)
		}
		return
	}
	d.erase()
	d.block = block
	d.draw()
}

// print prints lines that stay.
func (d *display) print(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
	fmt.Fprintf(d.out, format, args...)
	d.draw()
}

// around is a writer for messages that go to w, kept apart from the block when w is a terminal too.
func (d *display) around(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); !d.terminal || !ok || !term.IsTerminal(int(f.Fd())) {
		return w
	}
	return &aboveBlock{d, w}
}

type aboveBlock struct {
	display *display
	to      io.Writer
}

func (a *aboveBlock) Write(p []byte) (int, error) {
	a.display.mu.Lock()
	defer a.display.mu.Unlock()
	a.display.erase()
	n, err := a.to.Write(p)
	a.display.draw()
	return n, err
}

// erase takes the block off the terminal. The caller holds mu.
func (d *display) erase() {
	if len(d.block) > 0 {
		fmt.Fprintf(d.out, "\x1b[%dA\r\x1b[J", len(d.block))
	}
}

// draw puts the block onto the terminal, its lines cut so that none takes two. The caller holds mu.
func (d *display) draw() {
	if len(d.block) == 0 {
		return
	}
	width := d.width()
	var b strings.Builder
	for _, line := range d.block {
		if runes := []rune(line); len(runes) > width-1 {
			line = string(runes[:max(0, width-1)])
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	_, _ = io.WriteString(d.out, b.String())
}

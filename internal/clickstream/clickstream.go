// Package clickstream makes up the traffic of a web shop: visitors who arrive from somewhere, look at a few
// pages, search, put things in a basket, sometimes buy, and leave. A few pages get most of the views, most
// sessions are short, and a session's events come in order, as in real traffic.
//
// A generator with the same seed and clock gives the same bytes.
package clickstream

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// Options of a Generator. The zero value works.
type Options struct {
	Seed     uint64
	Sessions int              // visitors on the site at any time; 2,000 by default
	Now      func() time.Time // time of the events; time.Now by default
}

// Generator makes one event after the other. It is not safe for concurrent use.
type Generator struct {
	random   *rand.Rand
	now      func() time.Time
	pages    []string   // most visited first
	views    *rand.Zipf // index into pages
	visitors *rand.Zipf // number of a user
	sessions []session
}

// session is one visitor's way through the site.
type session struct {
	id        string
	user      uint64
	agent     string
	address   string
	referrer  string // where the next event comes from: the page before, or another site at first
	page      string
	events    int
	basket    int
	remaining int // events until the visitor leaves
}

// A user in ten thousand makes a good part of the visits; exponents near 1 fit page popularity in access logs.
const (
	userCount      = 200_000
	userExponent   = 1.1
	pageExponent   = 1.2
	meanEvents     = 9
	maxEvents      = 200
	defaultVisitor = 2_000
)

// New returns a generator.
func New(options Options) *Generator {
	if options.Sessions <= 0 {
		options.Sessions = defaultVisitor
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	random := rand.New(rand.NewPCG(options.Seed, 0x5f10_1ce5))
	g := &Generator{
		random:   random,
		now:      options.Now,
		pages:    sitemap(),
		sessions: make([]session, options.Sessions),
	}
	g.views = rand.NewZipf(random, pageExponent, 4, uint64(len(g.pages)-1))
	g.visitors = rand.NewZipf(random, userExponent, 50, userCount-1)
	for i := range g.sessions {
		g.sessions[i] = g.arrive()
		// Visitors are somewhere in the middle of their visits when one begins to look.
		g.sessions[i].remaining = 1 + random.IntN(g.sessions[i].remaining)
	}
	return g
}

// Append appends the next event, a JSON object without a line end, to dst. The key is the session's id: events
// with the same key are in the order in which they happened.
func (g *Generator) Append(dst []byte) (event []byte, key string) {
	i := g.random.IntN(len(g.sessions))
	s := &g.sessions[i]
	kind := g.step(s)
	dst = g.encode(dst, s, kind)
	key = s.id
	if s.remaining == 0 {
		g.sessions[i] = g.arrive()
	}
	return dst, key
}

// arrive begins a new session.
func (g *Generator) arrive() session {
	length := 1 + int(g.random.ExpFloat64()*(meanEvents-1))
	return session{
		id:        hex16(g.random.Uint64()),
		user:      g.visitors.Uint64(),
		agent:     pick(g.random, userAgents),
		address:   g.address(),
		referrer:  pick(g.random, referrers),
		remaining: min(length, maxEvents),
	}
}

// step moves a visitor on and tells what happened.
func (g *Generator) step(s *session) (kind string) {
	s.events++
	s.remaining--
	switch roll := g.random.IntN(100); {
	case s.events > 1 && s.remaining == 0:
		return "session_end"
	case s.events > 1 && roll < 8:
		s.basket++
		return "add_to_basket"
	case s.basket > 0 && roll < 12:
		s.basket = 0
		return "purchase"
	case s.events > 1 && roll < 20:
		s.move("/search?q=" + pick(g.random, adjectives) + "+" + pick(g.random, nouns))
		return "search"
	default:
		s.move(g.pages[g.views.Uint64()])
		return "page_view"
	}
}

func (s *session) move(to string) {
	if s.page != "" {
		s.referrer = shop + s.page
	}
	s.page = to
}

// encode needs no escaping: every string here is made of characters that JSON takes as they are.
func (g *Generator) encode(dst []byte, s *session, kind string) []byte {
	dst = append(dst, `{"event_id":"`...)
	dst = append(dst, s.id...)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, int64(s.events), 10)
	dst = append(dst, `","time":"`...)
	dst = g.now().UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(dst, `","type":"`...)
	dst = append(dst, kind...)
	dst = append(dst, `","session_id":"`...)
	dst = append(dst, s.id...)
	dst = append(dst, `","user_id":"u`...)
	dst = strconv.AppendUint(dst, s.user, 10)
	dst = append(dst, `","page":"`...)
	dst = append(dst, s.page...)
	dst = append(dst, `","referrer":"`...)
	dst = append(dst, s.referrer...)
	dst = append(dst, `","user_agent":"`...)
	dst = append(dst, s.agent...)
	dst = append(dst, `","ip":"`...)
	dst = append(dst, s.address...)
	dst = append(dst, `","basket":`...)
	dst = strconv.AppendInt(dst, int64(s.basket), 10)
	dst = append(dst, `,"duration_ms":`...)
	dst = strconv.AppendInt(dst, 5+int64(g.random.ExpFloat64()*60), 10)
	return append(dst, '}')
}

// address is one from the benchmark network of RFC 2544, which belongs to nobody.
func (g *Generator) address() string {
	n := g.random.Uint32()
	b := append(make([]byte, 0, 15), "198.18."...)
	b = strconv.AppendUint(b, uint64(n>>8&0xff), 10)
	b = append(b, '.')
	return string(strconv.AppendUint(b, uint64(n&0xff), 10))
}

func hex16(n uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[i] = digits[n>>(60-4*i)&15]
	}
	return string(b[:])
}

func pick(random *rand.Rand, from []string) string { return from[random.IntN(len(from))] }

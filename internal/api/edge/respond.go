package edge

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/internal/yield"
)

// Header names as AWS spells them; they are put into the map as they are.
const (
	headerRequestID = "x-amzn-RequestId"
	headerID2       = "x-amz-id-2"
)

// ids are what every response of AWS has: the request id, a UUID, and 72 random bytes in base64.
type ids [36 + 96]byte

func (i *ids) make() {
	var random [88]byte
	for at := 0; at < len(random); at += 8 {
		binary.LittleEndian.PutUint64(random[at:], rand.Uint64())
	}
	random[6] = random[6]&0x0f | 0x40 // version 4
	random[8] = random[8]&0x3f | 0x80
	hex.Encode(i[:], random[:4])
	for at, part := range [4][]byte{random[4:6], random[6:8], random[8:10], random[10:16]} {
		start := [4]int{9, 14, 19, 24}[at]
		i[start-1] = '-'
		hex.Encode(i[start:], part)
	}
	base64.StdEncoding.Encode(i[36:], random[16:])
}

// request is the request id.
func (i *ids) request() string { return string(i[:36]) }

// put puts the ids into a response's header.
func (i *ids) put(header http.Header) {
	both := string(i[:])
	values := []string{both[:36], both[36:]}
	header[headerRequestID] = values[:1:1]
	header[headerID2] = values[1:]
}

// appendLines appends the ids as lines of a header.
func (i *ids) appendLines(dst []byte) []byte {
	dst = append(append(dst, headerRequestID+": "...), i[:36]...)
	dst = append(append(dst, "\r\n"+headerID2+": "...), i[36:]...)
	return append(dst, "\r\n"...)
}

// answerer is implemented by a ResponseWriter that sends a whole answer at once. lines are headers as they stand on the
// wire, each with its end, beside those in Header(): a map of them would cost more than all the rest of a small answer.
type answerer interface {
	Answer(status int, lines, body []byte)
}

// contentTypes are shared by all responses, and read-only.
var contentTypes = func() map[string][]string {
	values := map[string][]string{}
	for _, c := range codecs {
		values[c.ContentType()] = []string{c.ContentType()}
	}
	return values
}()

// write sends a response. A client that does not take it is cut off in the end. The ids are not in its header yet if it
// is an answerer.
func (h *Handler) write(w http.ResponseWriter, i *ids, status int, contentType string, body []byte) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.bodyTimeout))
	if a, ok := w.(answerer); ok {
		var memory [256]byte
		lines := i.appendLines(memory[:0])
		if contentType != "" {
			lines = append(append(append(lines, "Content-Type: "...), contentType...), "\r\n"...)
		}
		a.Answer(status, lines, body)
		return
	}
	h.writeHeader(w, status, contentType, len(body))
	_, _ = w.Write(body) // fails when the client is gone, which is its own business
}

// teller is implemented by a ResponseWriter that may know how much of an answer has come to the client. Any goroutine may ask.
type teller interface {
	// Tells says whether it does.
	Tells() bool
	// Got is about how many bytes of the answer and what was sent before it have come to the client.
	Got() int64
}

// piece is how much of a large answer is sent at a time.
const piece = 256 << 10

// writeLarge sends a response in pieces, and tells when the client is about to be sent the first one, and how much it has
// taken with each.
func (h *Handler) writeLarge(w http.ResponseWriter, i *ids, contentType string, body []byte, took func(bytes int)) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.bodyTimeout))
	if _, ok := w.(answerer); ok {
		i.put(w.Header())
	}
	took(0)
	h.writeHeader(w, http.StatusOK, contentType, len(body))
	for part := range slices.Chunk(body, piece) {
		if _, err := w.Write(part); err != nil {
			return
		}
		took(len(part))
		yield.Core()
	}
}

func (h *Handler) writeHeader(w http.ResponseWriter, status int, contentType string, length int) {
	header := w.Header()
	if shared := contentTypes[contentType]; shared != nil {
		header["Content-Type"] = shared
	} else if contentType != "" {
		header["Content-Type"] = []string{contentType}
	} else {
		header["Content-Type"] = nil // keeps net/http from guessing
	}
	header["Content-Length"] = []string{strconv.Itoa(length)}
	w.WriteHeader(status)
}

// writeFault tells the client what is wrong in the protocol that it speaks.
func (h *Handler) writeFault(w http.ResponseWriter, x *exchange, fault *wire.Fault) {
	status := fault.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	switch status {
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		x.last(w)
	}
	if x.codec == nil {
		h.write(w, &x.ids, status, "", appendXMLFault(nil, fault))
		return
	}
	h.write(w, &x.ids, status, x.codec.ContentType(), x.codec.AppendFault(nil, fault))
}

// appendXMLFault appends an error as AWS's front end sends it when it cannot tell the protocol.
func appendXMLFault(dst []byte, fault *wire.Fault) []byte {
	if fault.Message == "" {
		return append(append(append(dst, '<'), fault.Code...), "/>\n"...)
	}
	dst = append(append(append(dst, '<'), fault.Code...), ">\n  <Message>"...)
	for _, c := range []byte(fault.Message) {
		switch c {
		case '<':
			dst = append(dst, "&lt;"...)
		case '>':
			dst = append(dst, "&gt;"...)
		case '&':
			dst = append(dst, "&amp;"...)
		default:
			dst = append(dst, c)
		}
	}
	return append(append(append(dst, "</Message>\n</"...), fault.Code...), ">\n"...)
}

package edge

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// Header names as AWS spells them; they are put into the map as they are.
const (
	headerRequestID = "x-amzn-RequestId"
	headerID2       = "x-amz-id-2"
)

// identify gives the response the ids that every response of AWS has, and returns the request id, a UUID.
func identify(header http.Header) string {
	var random [88]byte
	for i := 0; i < len(random); i += 8 {
		binary.LittleEndian.PutUint64(random[i:], rand.Uint64())
	}
	random[6] = random[6]&0x0f | 0x40 // version 4
	random[8] = random[8]&0x3f | 0x80
	var text [36 + 96]byte
	hex.Encode(text[:], random[:4])
	for at, part := range [4][]byte{random[4:6], random[6:8], random[8:10], random[10:16]} {
		start := [4]int{9, 14, 19, 24}[at]
		text[start-1] = '-'
		hex.Encode(text[start:], part)
	}
	base64.StdEncoding.Encode(text[36:], random[16:]) // 72 bytes, as AWS has
	both := string(text[:])
	values := []string{both[:36], both[36:]}
	header[headerRequestID] = values[:1:1]
	header[headerID2] = values[1:]
	return both[:36]
}

// contentTypes are shared by all responses, and read-only.
var contentTypes = func() map[string][]string {
	values := map[string][]string{}
	for _, c := range codecs {
		values[c.ContentType()] = []string{c.ContentType()}
	}
	return values
}()

// write sends a response. A client that does not take it is cut off in the end.
func (h *Handler) write(w http.ResponseWriter, status int, contentType string, body []byte) {
	header := w.Header()
	if shared := contentTypes[contentType]; shared != nil {
		header["Content-Type"] = shared
	} else if contentType != "" {
		header["Content-Type"] = []string{contentType}
	} else {
		header["Content-Type"] = nil // keeps net/http from guessing
	}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.bodyTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails when the client is gone, which is its own business
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
		h.write(w, status, "", appendXMLFault(nil, fault))
		return
	}
	h.write(w, status, x.codec.ContentType(), x.codec.AppendFault(nil, fault))
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

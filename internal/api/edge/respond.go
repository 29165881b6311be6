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

// Content types of AWS's protocols.
const (
	typeJSON = "application/x-amz-json-1.1"
	typeCBOR = "application/x-amz-cbor-1.1"
)

// valueJSON is shared by all responses, and read-only.
var valueJSON = []string{typeJSON}

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

// write sends a response. A client that does not take it is cut off in the end.
func (h *Handler) write(w http.ResponseWriter, status int, contentType string, body []byte) {
	header := w.Header()
	switch contentType {
	case typeJSON:
		header["Content-Type"] = valueJSON
	case "":
		header["Content-Type"] = nil // keeps net/http from guessing
	default:
		header["Content-Type"] = []string{contentType}
	}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.bodyTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails when the client is gone, which is its own business
}

// writeFault tells the client what is wrong in the protocol that it speaks.
func (h *Handler) writeFault(w http.ResponseWriter, contentType string, fault *wire.Fault) {
	status := fault.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	switch status {
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		w.Header().Set("Connection", "close") // there is more of the body, and nobody will read it
	}
	switch contentType {
	case typeCBOR:
		h.write(w, status, typeCBOR, appendCBORFault(nil, fault))
	case typeJSON:
		h.write(w, status, typeJSON, appendJSONFault(nil, fault))
	default:
		h.write(w, status, "", appendXMLFault(nil, fault))
	}
}

// appendJSONFault appends an error as AWS's JSON services send it. Those that come from decoding the request
// have a capital M in their message.
func appendJSONFault(dst []byte, fault *wire.Fault) []byte {
	dst = wire.AppendString(append(dst, `{"__type":`...), fault.Code)
	switch {
	case fault.Message == "":
		return append(dst, '}')
	case fault.Code == "SerializationException":
		dst = append(dst, `,"Message":`...)
	default:
		dst = append(dst, `,"message":`...)
	}
	return append(wire.AppendString(dst, fault.Message), '}')
}

// appendCBORFault appends an error as a CBOR map (RFC 8949) of two text strings.
func appendCBORFault(dst []byte, fault *wire.Fault) []byte {
	dst = append(dst, 0xa2) // a map of two pairs
	for _, text := range []string{"__type", fault.Code, "message", fault.Message} {
		switch n := len(text); {
		case n < 24:
			dst = append(dst, 0x60|byte(n))
		case n < 1<<8:
			dst = append(dst, 0x78, byte(n))
		case n < 1<<16:
			dst = binary.BigEndian.AppendUint16(append(dst, 0x79), uint16(n))
		default:
			dst = binary.BigEndian.AppendUint32(append(dst, 0x7a), uint32(n))
		}
		dst = append(dst, text...)
	}
	return dst
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

package wire

// Codec is one of AWS's protocols.
type Codec interface {
	// ContentType is what the bodies of requests and answers are declared to be.
	ContentType() string
	// Decode decodes a body, which it may overwrite, into the shape that in points to.
	Decode(body []byte, in any) error
	// Append appends the shape that out points to.
	Append(dst []byte, out any) []byte
	// Size is about how many bytes Append will append, or 0 if that is few.
	Size(out any) int
	// AppendFault appends an error.
	AppendFault(dst []byte, fault *Fault) []byte
}

// JSON is AWS's JSON protocol, version 1.1.
type JSON struct{}

// CBOR is what AWS speaks to the SDKs for Java beside it: the same shapes, in CBOR.
type CBOR struct{}

var (
	_ Codec = JSON{}
	_ Codec = CBOR{}
)

// ContentType implements Codec.
func (JSON) ContentType() string { return "application/x-amz-json-1.1" }

// Decode implements Codec.
func (JSON) Decode(body []byte, in any) error { return DecodeJSON(body, in) }

// Append implements Codec.
func (JSON) Append(dst []byte, out any) []byte { return AppendJSON(dst, out) }

// Size implements Codec.
func (JSON) Size(out any) int {
	if s, ok := out.(Sizer); ok {
		rest, blobs := s.WireSize()
		return rest + (blobs+2)/3*4
	}
	return 0
}

// AppendFault implements Codec. Errors that come from decoding the request have a capital M in their message.
func (JSON) AppendFault(dst []byte, fault *Fault) []byte {
	name := "message"
	if fault.Code == "SerializationException" {
		name = "Message"
	}
	w := Writer{buf: dst}
	w.fault(fault, name)
	return w.buf
}

// ContentType implements Codec.
func (CBOR) ContentType() string { return "application/x-amz-cbor-1.1" }

// Decode implements Codec.
func (CBOR) Decode(body []byte, in any) error { return DecodeCBOR(body, in) }

// Append implements Codec.
func (CBOR) Append(dst []byte, out any) []byte { return AppendCBOR(dst, out) }

// Size implements Codec.
func (CBOR) Size(out any) int {
	if s, ok := out.(Sizer); ok {
		rest, blobs := s.WireSize()
		return rest + blobs
	}
	return 0
}

// AppendFault implements Codec.
func (CBOR) AppendFault(dst []byte, fault *Fault) []byte {
	w := Writer{buf: dst, cbor: true}
	w.fault(fault, "message")
	return w.buf
}

func (w *Writer) fault(fault *Fault, message string) {
	w.BeginObject()
	w.Name("__type")
	w.String(fault.Code)
	if fault.Message != "" {
		w.Name(message)
		w.String(fault.Message)
	}
	w.EndObject()
}

// Package ingest takes records by plain HTTP, for whoever has no AWS SDK: browsers, log shippers, curl.
//
//	POST /v1/streams/{name}/records
//
// has one JSON value a line, or a JSON array, each value a record. It is answered when the records are durable, with
// how many there are and, line by line, which were refused and why. Who may send is told by API keys; docs/http-ingestion.md
// is for those who use it.
//
// A request goes through these steps, and until the last of them nothing has been written:
//
//  1. whose page sends it, with which key, to which stream (handler.go, keyring.go, origin.go),
//  2. the body, decompressed, into memory of the edge's budget (body.go),
//  3. the records, checked, with their partition keys (records.go, on scan.go and field.go),
//  4. the key's rate limit (meter.go),
//  5. the records in their order to the stream, some hundred at a time (put.go).
package ingest

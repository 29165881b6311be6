// Package lane serves HTTP/1.1 requests of one plain kind for a fraction of what net/http takes, and leaves
// everything else to net/http.
//
// The plain kind is what AWS's SDKs send nearly always: POST / with a Content-Length, a header of less than 4 KiB,
// and an X-Amz-Target that is served by one answer of known length. Such a request is parsed in place, and the same
// http.Handler answers it that serves all others. When anything else arrives on a connection, were it only a
// header that is spelled in an unusual way, the connection is handed over, with what has been read of it, to
// net/http, where it stays. So this package need not know HTTP well; it has to be strict:
//
//  1. What it accepts, net/http reads as the same request. A fuzz test holds one against the other.
//  2. A connection is handed over before the request at hand has had any effect.
//
// What a request costs less than in net/http: no goroutine that reads ahead to see whether the client has gone (so a
// request's context does not end when its client goes away), no new maps and contexts, deadlines that are set now
// and then instead of several times a request.
package lane

package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/seed-462d9463/sluice/sinks"
)

const (
	codeNoSuchBucket = "NoSuchBucket"
	codeNoSuchKey    = "NoSuchKey"
)

// retryableCodes are answers of the kind 4xx ("List of error codes", Amazon S3 API reference) that are no fault
// of the request, but of its transport or of the moment. The rest of 4xx is permanent, all of 5xx is not.
var retryableCodes = map[string]bool{
	"BadDigest":                   true, // damaged on the way
	"XAmzContentSHA256Mismatch":   true,
	"XAmzContentChecksumMismatch": true,
	"IncompleteBody":              true,
	"RequestTimeout":              true,
	"NoSuchUpload":                true, // the parts were cleaned up meanwhile: the next attempt starts anew
	"InvalidPart":                 true,
	"OperationAborted":            true, // another operation on the bucket is under way
	"SlowDown":                    true,
}

var retryableStatus = map[int]bool{
	http.StatusRequestTimeout:  true,
	http.StatusConflict:        true,
	http.StatusTooEarly:        true,
	http.StatusTooManyRequests: true,
	499:                        true, // nginx: the client went away
}

// invalidKeyCodes say that the store does not take the key.
var invalidKeyCodes = map[string]bool{
	"KeyTooLongError":               true,
	"XMinioInvalidObjectName":       true,
	"XMinioInvalidResourceName":     true,
	"XMinioObjectExistsAsDirectory": true,
	"XMinioParentIsObject":          true,
}

// hints say what to do about an error, where the store's own message does not. s3:ListBucket is for Stat: without it,
// Amazon says of an object that is not there that access is denied ("HeadObject", Amazon S3 API reference).
var hints = map[string]string{
	codeNoSuchBucket:               "create the bucket, or set create_buckets: true",
	"AccessDenied":                 "the access key needs s3:PutObject, s3:GetObject and s3:ListBucket on this bucket, and s3:CreateBucket with create_buckets",
	"InvalidAccessKeyId":           "check access_key",
	"SignatureDoesNotMatch":        "check secret_key",
	"AuthorizationHeaderMalformed": "check region",
	"InvalidRegion":                "check region",
	"PermanentRedirect":            "check endpoint and region",
	"RequestTimeTooSkewed":         "set the clock of this machine",
	"ExpiredToken":                 "session_token and its keys have expired",
}

// checkKey refuses, beside what no sink takes, keys that S3 knows but that do not survive the way there. Parts
// "." and ".." are resolved by clients, proxies and servers. Empty parts (a slash at either end, or two in a
// row) are kept by Amazon; others refuse them, drop them (MinIO: "/a" becomes "a") or make folders of them.
func checkKey(key string, amazon bool) error {
	if err := sinks.CheckKey(key); err != nil {
		return err
	}
	for part := range strings.SplitSeq(key, "/") {
		trimmed := strings.TrimSpace(part)
		if trimmed == "." || trimmed == ".." {
			return sinks.Permanent(fmt.Errorf("%w: a part of it is %q", sinks.ErrInvalidKey, part))
		}
		if part == "" && !amazon {
			return sinks.Permanent(fmt.Errorf("%w: a part of it is empty (a slash at its start or end, or two in a row)",
				sinks.ErrInvalidKey))
		}
	}
	if strings.TrimSpace(key) == "" {
		return sinks.Permanent(fmt.Errorf("%w: only white space", sinks.ErrInvalidKey))
	}
	return nil
}

// isCode reports whether the store answered with this error code.
func isCode(err error, code string) bool {
	response, ok := errors.AsType[minio.ErrorResponse](err)
	return ok && response.Code == code
}

// classify marks errors that will not go away, and says what is to be done about the common ones. ctx is the
// one that the request ran under, so that its cause is told and not just that it was canceled.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		return cause // not as one that the caller canceled
	}
	if ended := sinks.ContextError(ctx); ended != nil {
		return ended
	}
	if response, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return classifyResponse(response)
	}
	// Its text would name the request's address, which the caller's message does already.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	switch {
	case strings.Contains(err.Error(), "timeout awaiting response headers"): // http.Transport has no error of its own for it
		return fmt.Errorf("%w in time", errStalled)
	case isCertificate(err):
		return sinks.Permanent(fmt.Errorf("%w (see ca_file)", err))
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return sinks.Permanent(fmt.Errorf("%w (start endpoint with http://)", err))
	}
	return err
}

func classifyResponse(response minio.ErrorResponse) error {
	err := fmt.Errorf("%w (%s, HTTP status %d)", response, response.Code, response.StatusCode)
	if hint := hints[response.Code]; hint != "" {
		err = fmt.Errorf("%w: %s", err, hint)
	}
	switch {
	case invalidKeyCodes[response.Code]:
		return sinks.Permanent(fmt.Errorf("%w: %w", sinks.ErrInvalidKey, err))
	case response.StatusCode == http.StatusNotImplemented:
		return sinks.Permanent(err)
	case response.StatusCode >= 500, retryableCodes[response.Code], retryableStatus[response.StatusCode]:
		return err
	case response.StatusCode < 300:
		// The end of an upload in parts may fail after the status has been sent.
		return err
	}
	return sinks.Permanent(err)
}

// isCertificate reports whether the store's certificate was not accepted.
func isCertificate(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.HostnameError](err)
	return ok
}

package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// Prefix begins the paths that ingestion serves.
const Prefix = "/v1/streams/"

const suffix = "/records"

// Options say what ingestion is made of.
type Options struct {
	Streams Streams
	Config  Config
	// Open means that nobody needs credentials on this node, so that without keys nobody needs one here either.
	Open    bool
	Account string // of those without a key, and of keys that name none
	Region  string // likewise

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Ingestion is the HTTP endpoint, for edge.Handler.Beside.
type Ingestion struct {
	streams Streams
	keys    keyring
	maxBody int
	logger  *slog.Logger
	started time.Time // what the limits' clock counts from
	memory  sync.Pool // of *work
}

var _ edge.Visitor = (*Ingestion)(nil)

// work is the memory of one request.
type work struct {
	parsed parsed
	put    put
	answer []byte
}

// New returns the endpoint. The configuration must be valid.
func New(o Options) (*Ingestion, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register metrics of ingestion: %w", err)
	}
	in := &Ingestion{streams: o.Streams, maxBody: o.Config.MaxBodyBytes, logger: o.Logger, started: time.Now()}
	in.memory.New = func() any { return new(work) }
	if in.logger == nil {
		in.logger = slog.New(slog.DiscardHandler)
	}
	for i := range o.Config.Keys {
		k := &o.Config.Keys[i]
		secret, err := k.digest()
		if err != nil {
			return nil, err
		}
		in.keys.senders = append(in.keys.senders, &sender{
			name: k.Name, digest: secret, streams: k.Streams, origins: edge.NewOrigins(k.Origins),
			account: cmp.Or(k.Account, o.Account), region: cmp.Or(k.Region, o.Region),
			limit:   limit{recordsPerSecond: k.RecordsPerSecond, bytesPerSecond: k.BytesPerSecond},
			metrics: m.of(k.Name),
		})
	}
	if o.Open && len(o.Config.Keys) == 0 {
		in.keys.everybody = &sender{
			origins: edge.NewOrigins(o.Config.Origins), account: o.Account, region: o.Region, metrics: m.of(""),
		}
	}
	return in, nil
}

// Serve implements edge.Visitor.
func (in *Ingestion) Serve(w http.ResponseWriter, r *http.Request, v *edge.Visit) error {
	name, found := strings.CutPrefix(r.URL.Path, Prefix)
	name, records := strings.CutSuffix(name, suffix)
	if !found || !records || name == "" || len(name) > stream.MaxNameLength || strings.Trim(name, nameCharacters) != "" {
		return &wire.Fault{Code: "NotFound", Status: http.StatusNotFound,
			Message: "There is nothing here. Records are sent to " + Prefix + "NAME" + suffix + "."}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("The query string cannot be read.")
	}
	if r.Method == http.MethodOptions {
		return in.preflight(w, r, v, query)
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST, OPTIONS")
		return &wire.Fault{Code: "MethodNotAllowed", Status: http.StatusMethodNotAllowed, Message: "Records are sent with POST."}
	}
	from, err := in.admit(w, r, v, query, name)
	if err != nil {
		return err
	}
	form, ok := formOf(r.Header.Get("Content-Type"))
	if !ok {
		return &wire.Fault{Code: "UnsupportedMediaType", Status: http.StatusUnsupportedMediaType,
			Message: "The content type must be application/x-ndjson, application/json or text/plain."}
	}
	source, err := keySourceOf(r, query)
	if err != nil {
		return err
	}
	body, err := readBody(w, r, v, in.maxBody)
	if errors.Is(err, edge.ErrCoding) {
		return &wire.Fault{Code: "InvalidEncoding", Status: http.StatusBadRequest, Message: "The body is not encoded as its Content-Encoding says."}
	}
	if err != nil {
		return err
	}
	job := in.memory.Get().(*work)
	err = in.write(w, r, v, from, job, stream.Name{Account: from.account, Region: from.region, Name: name}, body, form, source)
	job.parsed.reset()
	job.put.reset()
	if cap(job.answer) > keptAnswer {
		job.answer = nil
	}
	in.memory.Put(job) // not in a defer: what a panic has gone through is not used again
	return err
}

const keptAnswer = 64 << 10

// admit finds out who sends a request, and whether he may write to the stream, from where he is, and now.
func (in *Ingestion) admit(w http.ResponseWriter, r *http.Request, v *edge.Visit, query url.Values, name string) (*sender, error) {
	site, page := r.Header["Origin"]
	from := in.keys.everybody
	if from == nil {
		key := presented(r, query)
		if from = in.keys.find(key); from == nil {
			if page && in.keys.anyFrom(site[0]) {
				share(w, site[0]) // so that the page can read why not
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`)
			if key == "" {
				return nil, &wire.Fault{Code: "MissingKey", Status: http.StatusUnauthorized,
					Message: "An API key is needed: in the header X-Api-Key, as Authorization: Bearer, or as ?api_key=."}
			}
			return nil, &wire.Fault{Code: "UnknownKey", Status: http.StatusUnauthorized, Message: "The API key is not known."}
		}
	} else if edge.FromForeignPage(r) {
		return nil, &wire.Fault{Code: "ForbiddenOrigin", Status: http.StatusForbidden,
			Message: "Without API keys Sluice takes no records that a browser sends to another name than localhost."}
	}
	v.Identify(from.name, wire.Caller{Account: from.account, Region: from.region})
	if page {
		if !from.mayUseFrom(site[0]) {
			return nil, &wire.Fault{Code: "ForbiddenOrigin", Status: http.StatusForbidden, Message: "Pages of this site may not write here."}
		}
		share(w, site[0])
	}
	if !from.mayWriteTo(name) {
		return nil, &wire.Fault{Code: "ForbiddenStream", Status: http.StatusForbidden, Message: "The API key is not for this stream."}
	}
	if wait := from.limit.ready(in.now()); wait > 0 {
		return nil, tooFast(w, wait)
	}
	return from, nil
}

// now is the time that limits go by. It never steps back.
func (in *Ingestion) now() time.Duration { return time.Since(in.started) }

// keySourceOf reads where a request wants its partition keys to come from. The query may say nothing else: by a parameter
// that is spelled wrong the records would get random keys, and lose their order.
func keySourceOf(r *http.Request, query url.Values) (source keySource, err error) {
	for name, values := range query {
		switch name {
		case "api_key", "partition_key", "partition_key_field":
		default:
			return source, badRequest(fmt.Sprintf("There is no parameter %.100q; there are api_key, partition_key and partition_key_field.", name))
		}
		if len(values) > 1 {
			return source, badRequest("The parameter " + name + " is given more than once.")
		}
	}
	source.fixed = cmp.Or(r.Header.Get("X-Partition-Key"), query.Get("partition_key"))
	path := cmp.Or(r.Header.Get("X-Partition-Key-Field"), query.Get("partition_key_field"))
	if source.fixed != "" && path != "" {
		return source, badRequest("A partition key and a field for it are given; one of them is enough.")
	}
	if !utf8.ValidString(source.fixed) || utf8.RuneCountInString(source.fixed) > stream.MaxPartitionKeyLength {
		return source, badRequest(fmt.Sprintf("A partition key has 1 to %d characters, in UTF-8.", stream.MaxPartitionKeyLength))
	}
	if path != "" {
		if source.field, err = parseField(path); err != nil {
			return source, badRequest("The header X-Partition-Key-Field or ?partition_key_field= is wrong: " + err.Error() + ".")
		}
	}
	return source, nil
}

// write takes the records out of a body, writes them, and answers.
func (in *Ingestion) write(w http.ResponseWriter, r *http.Request, v *edge.Visit, from *sender, job *work, name stream.Name,
	body []byte, form form, source keySource,
) error {
	ctx := r.Context()
	job.parsed.source = source
	job.parsed.hold = func(bytes int) error { return v.Hold(ctx, bytes) }
	if err := job.parsed.parse(body, form); err != nil {
		return err
	}
	if wait := from.limit.take(in.now(), len(job.parsed.records)+len(job.parsed.refused), len(body)); wait > 0 {
		return tooFast(w, wait)
	}
	job.put.streams, job.put.name = in.streams, name
	if err := job.put.all(ctx, &job.parsed); err != nil {
		return err
	}
	if err := job.put.surprise; err != nil && ctx.Err() == nil {
		in.logger.Error("records not written", slog.String("stream", name.String()), slog.String("key", from.name), slog.Any("error", err))
	}
	refused := job.parsed.refused
	from.metrics.records.Add(float64(job.put.stored))
	from.metrics.bytes.Add(float64(job.put.bytes))
	for i := range refused {
		from.metrics.failures[refused[i].code].Inc()
	}
	slices.SortFunc(refused, func(a, b refusal) int { return cmp.Compare(a.line, b.line) })
	status, code := verdict(job.put.stored, refused)
	if code != "" {
		v.Failed(code)
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	job.answer = appendAnswer(job.answer[:0], job.put.stored, refused)
	v.Answer(w, status, job.answer)
	return nil
}

// verdict is the status of an answer, and the code that it counts under. It is 200 as soon as one record was written,
// as with PutRecords: sent again as a whole, those would be there twice. Of several reasons why none was, the one that
// is worth another try counts.
func verdict(stored int, refused []refusal) (status int, code string) {
	if stored > 0 || len(refused) == 0 {
		return http.StatusOK, ""
	}
	status = http.StatusBadRequest
	code = refused[0].code
	for i := range refused {
		switch c := refused[i].code; c {
		case codeThrottled:
			return http.StatusTooManyRequests, c
		case codeNoSpace, codeUnavailable:
			status, code = http.StatusServiceUnavailable, c
		case codeInternal:
			if status == http.StatusBadRequest {
				status, code = http.StatusInternalServerError, c
			}
		}
	}
	return status, code
}

// Refuse implements edge.Visitor.
func (in *Ingestion) Refuse(w http.ResponseWriter, v *edge.Visit, fault *wire.Fault) {
	answer := wire.AppendString([]byte(`{"error":{"code":`), fault.Code)
	answer = append(wire.AppendString(append(answer, `,"message":`...), fault.Message), "}}"...)
	v.Answer(w, fault.Status, answer)
}

func badRequest(message string) *wire.Fault {
	return &wire.Fault{Code: "InvalidRequest", Message: message, Status: http.StatusBadRequest}
}

func notFound(name string) *wire.Fault {
	return &wire.Fault{Code: codeStreamNotFound, Message: "There is no stream " + name + ".", Status: http.StatusNotFound}
}

// tooFast refuses a request as a whole because of its key's limit. Nothing of it has been written.
func tooFast(w http.ResponseWriter, wait time.Duration) *wire.Fault {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return &wire.Fault{Code: codeThrottled, Message: "The API key's rate limit is used up.", Status: http.StatusTooManyRequests}
}

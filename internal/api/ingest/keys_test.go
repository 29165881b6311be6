package ingest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/internal/api/ingest"
	"github.com/seed-462d9463/sluice/stream"
)

func TestAKeyComesInAHeaderAsABearerOrInTheQuery(t *testing.T) {
	s := serve(t, withKey(ingest.Key{Account: "123456789012", Region: "eu-west-1"}))
	for _, headers := range [][]string{{"X-Api-Key", webKey}, {"Authorization", "Bearer " + webKey}, {"Authorization", "bearer " + webKey}} {
		if a := s.post("1", headers...); a.status != 200 {
			t.Errorf("%q: %+v", headers, a)
		}
	}
	if a := s.send(http.MethodPost, "/v1/streams/clicks/records?api_key="+webKey, strings.NewReader("1")); a.status != 200 {
		t.Errorf("in the query: %+v", a)
	}
	for _, name := range s.names {
		if want := (stream.Name{Account: "123456789012", Region: "eu-west-1", Name: "clicks"}); name != want {
			t.Errorf("written to %v", name)
		}
	}
	for _, wrong := range []string{webKey + "x", webKey[1:], strings.ToUpper(webKey), "web"} {
		a := s.post("1", "X-Api-Key", wrong)
		s.want(a, 401, "UnknownKey")
		if a.header.Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
	}
	s.want(s.post("1"), 401, "MissingKey")
	if len(s.data()) != 4 {
		t.Errorf("records %q", s.data())
	}
}

func TestAKeyMayBeConfiguredByItsHash(t *testing.T) {
	sum := sha256.Sum256([]byte(webKey))
	s := serve(t, withKey(ingest.Key{SHA256: hex.EncodeToString(sum[:])}))
	if a := s.post("1", "X-Api-Key", webKey); a.status != 200 {
		t.Errorf("answer %+v", a)
	}
	s.want(s.post("1", "X-Api-Key", hex.EncodeToString(sum[:])), 401, "UnknownKey")
}

func TestAKeyIsForTheStreamsThatItNames(t *testing.T) {
	s := serve(t, withKey(ingest.Key{Streams: []string{"clicks", "web-*"}}))
	for name, status := range map[string]int{"clicks": 200, "web-": 200, "web-1.a": 200, "click": 403, "clicks2": 403, "aweb-1": 403} {
		if a := s.send(http.MethodPost, "/v1/streams/"+name+"/records", strings.NewReader("1"), "X-Api-Key", webKey); a.status != status {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestWithCredentialsAndNoKeysNobodyMayWrite(t *testing.T) {
	s := serve(t, func(o *ingest.Options) { o.Open = false })
	s.want(s.post("1"), 401, "MissingKey")
	s.want(s.post("1", "X-Api-Key", webKey), 401, "UnknownKey")
	s.want(s.post("1", "Origin", "http://localhost:3000"), 401, "MissingKey")
	s.wantData()
}

func TestKeysAreNeverInTheLog(t *testing.T) {
	s := serve(t, withKey(ingest.Key{}))
	s.post("1", "X-Api-Key", webKey)
	s.post("1", "Authorization", "Bearer "+webKey)
	s.send(http.MethodPost, "/v1/streams/clicks/records?api_key="+webKey, strings.NewReader("1"))
	s.send(http.MethodPost, "/v1/streams/clicks/records?api_key="+webKey+"wrong", strings.NewReader("1"))
	s.send(http.MethodPost, "/nowhere?api_key="+webKey, strings.NewReader("1"))
	log := s.log.String()
	if strings.Contains(log, webKey) {
		t.Errorf("the log has the key: %s", log)
	}
	if n := strings.Count(log, "access_key=web"); n != 3 {
		t.Errorf("the log names the key %d times: %s", n, log)
	}
}

func TestAKeysRateLimitRefusesWholeRequests(t *testing.T) {
	s := serve(t, withKey(ingest.Key{RecordsPerSecond: 1}))
	if a := s.post(strings.Repeat("1\n", 3600), "X-Api-Key", webKey); a.status != 200 {
		t.Errorf("answer %+v", a)
	}
	a := s.post("2\n3", "X-Api-Key", webKey)
	s.want(a, 429, "Throttled")
	if after := a.header.Get("Retry-After"); len(after) != 4 { // most of an hour
		t.Errorf("Retry-After: %s", after)
	}
	if n := len(s.data()); n != 3600 {
		t.Errorf("%d records", n)
	}

	s = serve(t, withKey(ingest.Key{BytesPerSecond: 10}))
	body := `"` + strings.Repeat("x", 36_000) + `"`
	if a := s.post(body, "X-Api-Key", webKey); a.status != 200 {
		t.Errorf("answer %+v", a)
	}
	s.want(s.post("1", "X-Api-Key", webKey), 429, "Throttled")
}

func TestPagesMayWriteFromTheOriginsOfTheirKey(t *testing.T) {
	s := serve(t, withKey(ingest.Key{Origins: []string{"https://shop.example", "https://*.shop.example:8443"}}),
		withKey(ingest.Key{Name: "server", Key: "sk-0123456789abcdef"}))
	for origin, may := range map[string]bool{
		"https://shop.example": true, "https://SHOP.example": true, "https://a.shop.example:8443": true, "https://a.b.shop.example:8443": true,
		"http://shop.example": false, "https://shop.example:8443": false, "https://a.shop.example": false, "https://evilshop.example": false,
		"https://.shop.example:8443": false, "https://evil.example/.shop.example:8443": false, "null": false, "http://localhost": false,
	} {
		preflight := s.send(http.MethodOptions, "/v1/streams/clicks/records", nil, "Origin", origin,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,x-api-key")
		a := s.post("1", "Origin", origin, "X-Api-Key", webKey)
		if !may {
			s.want(preflight, 403, "ForbiddenOrigin")
			s.want(a, 403, "ForbiddenOrigin")
			if a.header.Get("Access-Control-Allow-Origin")+preflight.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s may read the answer", origin)
			}
			continue
		}
		if preflight.status != 204 || preflight.header.Get("Access-Control-Allow-Methods") != "POST" ||
			!strings.Contains(preflight.header.Get("Access-Control-Allow-Headers"), "x-api-key") {
			t.Errorf("%s: preflight %+v", origin, preflight)
		}
		for _, h := range []http.Header{preflight.header, a.header} {
			if h.Get("Access-Control-Allow-Origin") != origin || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Vary") != "Origin" {
				t.Errorf("%s: headers %v", origin, h)
			}
		}
		if a.status != 200 {
			t.Errorf("%s: %+v", origin, a)
		}
	}
	// A key without origins is for servers.
	s.want(s.post("1", "Origin", "https://shop.example", "X-Api-Key", "sk-0123456789abcdef"), 403, "ForbiddenOrigin")
	if a := s.post("1", "X-Api-Key", "sk-0123456789abcdef"); a.status != 200 {
		t.Errorf("answer %+v", a)
	}
	// A preflight that tells the key is judged by it.
	ask := func(key string) answer {
		return s.send(http.MethodOptions, "/v1/streams/clicks/records?api_key="+key, nil, "Origin", "https://shop.example",
			"Access-Control-Request-Method", "POST")
	}
	if a := ask(webKey); a.status != 204 {
		t.Errorf("preflight %+v", a)
	}
	s.want(ask("sk-0123456789abcdef"), 403, "ForbiddenOrigin")
	// A page can read that its key is wrong.
	if a := s.post("1", "Origin", "https://shop.example", "X-Api-Key", "wrong"); a.status != 401 || a.header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("answer %+v", a)
	}
}

func TestWithoutKeysOnlyPagesOfThisMachineMayWrite(t *testing.T) {
	s := serve(t, func(o *ingest.Options) { o.Config.Origins = []string{"http://dev.example"} })
	for origin, status := range map[string]int{
		"http://localhost:3000": 200, "http://app.localhost": 200, "https://127.0.0.1:8443": 200, "http://[::1]:80": 200, "http://dev.example": 200,
		"http://evil.example": 403, "null": 403, "http://localhost.evil.example": 403, "http://127.0.0.1.evil.example": 403, "": 403,
	} {
		if a := s.post("1", "Origin", origin); a.status != status {
			t.Errorf("%q: %+v", origin, a)
		}
	}
	// A name that resolves to this machine makes any page's origin the server's own.
	s.want(s.post("1", "Origin", "http://localhost", "Host", "rebound.example:4566"), 403, "ForbiddenOrigin")
	s.want(s.post("1", "Origin", "http://dev.example", "Host", "dev.example"), 403, "ForbiddenOrigin")
	if a := s.post("1"); a.status != 200 {
		t.Errorf("without an origin: %+v", a)
	}
}

func TestWrongSettingsAreToldAndKeysAreNot(t *testing.T) {
	good := func() ingest.Config {
		c := ingest.DefaultConfig()
		c.Keys = []ingest.Key{{Name: "web", Key: webKey, Streams: []string{"a", "b-*"}, Origins: []string{"*", "https://a.example", "http://*.b.example:81"}}}
		return c
	}
	c := good()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*ingest.Config){
		"max_body_bytes":                  func(c *ingest.Config) { c.MaxBodyBytes = 100 },
		"origins: \"shop":                 func(c *ingest.Config) { c.Origins = []string{"shop.example"} },
		"keys[0]: name":                   func(c *ingest.Config) { c.Keys[0].Name = "a b" },
		"keys[1]: name: \"web\" is given": func(c *ingest.Config) { c.Keys = append(c.Keys, c.Keys[0]) },
		"keys[1]: the key is given twice": func(c *ingest.Config) { c.Keys = append(c.Keys, c.Keys[0]) },
		"one of key and key_sha256":       func(c *ingest.Config) { c.Keys[0].SHA256 = strings.Repeat("a", 64) },
		"keys[0]: key: it must":           func(c *ingest.Config) { c.Keys[0].Key = "wk-0123456789ab&" },
		"key: it must have 16":            func(c *ingest.Config) { c.Keys[0].Key = "wk-0" },
		"key_sha256: it must":             func(c *ingest.Config) { c.Keys[0].Key, c.Keys[0].SHA256 = "", "xy" },
		"streams: names are needed":       func(c *ingest.Config) { c.Keys[0].Streams = nil },
		"streams: \"a/b\"":                func(c *ingest.Config) { c.Keys[0].Streams = []string{"a/b"} },
		"streams: \"[a]\"":                func(c *ingest.Config) { c.Keys[0].Streams = []string{"[a]"} },
		"origins: \"https://a.example/":   func(c *ingest.Config) { c.Keys[0].Origins = []string{"https://a.example/"} },
		"origins: \"https://a.*":          func(c *ingest.Config) { c.Keys[0].Origins = []string{"https://a.*"} },
		"origins: \"null\"":               func(c *ingest.Config) { c.Keys[0].Origins = []string{"null"} },
		"records_per_second: -1":          func(c *ingest.Config) { c.Keys[0].RecordsPerSecond = -1 },
		"bytes_per_second: -1":            func(c *ingest.Config) { c.Keys[0].BytesPerSecond = -1 },
		"account: \"1\"":                  func(c *ingest.Config) { c.Keys[0].Account = "1" },
		"region: \"EU\"":                  func(c *ingest.Config) { c.Keys[0].Region = "EU" },
	} {
		c := good()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		} else if strings.Contains(err.Error(), "wk-0") {
			t.Errorf("the key is told: %v", err)
		}
	}
}

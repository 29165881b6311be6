package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// pageKey and pageURL are what docs/http-ingestion.md has; a test puts its own in their place.
const (
	pageKey  = "wk-not-a-real-secret-1"
	pageURL  = "https://sluice.example"
	pageSite = "https://shop.example"
)

// documented is a part of docs/http-ingestion.md: the first block of the language that holds a text.
func documented(t *testing.T, language, holds string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "http-ingestion.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?)\n```\n").FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(block[1], holds) {
			return block[1]
		}
	}
	t.Fatalf("docs/http-ingestion.md has no block of %s with %q", language, holds)
	return ""
}

// browser starts a headless Chromium that knows nothing and calls nobody. It ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium is not installed (Debian: apt-get install chromium; as root `make test` does it): "+err.Error())
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		// Nothing but this machine has an address.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
	)
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// shop serves the page of the documentation, with two buttons, and an empty page to go to. Its port makes it a site of its
// own for the browser. Pages count their beacons where later pages of the site can look.
func shop(t *testing.T, script string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!DOCTYPE html><title>shop</title><button id="buy">Buy</button><button id="größe">Size</button>%s`, script)
	})
	mux.HandleFunc("GET /elsewhere", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!DOCTYPE html><title>elsewhere</title>`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

const countBeacons = `{
  const send = navigator.sendBeacon.bind(navigator);
  navigator.sendBeacon = (url, data) => {
    const taken = send(url, data);
    if (taken) localStorage.beacons = Number(localStorage.beacons ?? 0) + 1;
    return taken;
  };
}`

// clicksIn are the clicks in a stream, each as the element and the page.
func clicksIn(ctx context.Context, t *testing.T, s *server) (clicks []string) {
	t.Helper()
	for _, r := range readStream(ctx, t, s.reader(), "clicks") {
		var click struct{ Visit, Time, Page, Click string }
		if err := json.Unmarshal([]byte(r.data), &click); err != nil {
			t.Fatalf("a record that no page wrote: %q", r.data)
		}
		if click.Visit == "" || r.key != click.Visit {
			t.Errorf("the click %s has the partition key %q", r.data, r.key)
		}
		clicks = append(clicks, click.Page+click.Click)
	}
	return clicks
}

func waitForClicks(t *testing.T, s *server, what string, n int) []string {
	t.Helper()
	var clicks []string
	eventually(t, what, func() error {
		if clicks = clicksIn(t.Context(), t, s); len(clicks) < n {
			return fmt.Errorf("%d of %d clicks: %q", len(clicks), n, clicks)
		}
		return nil
	})
	if len(clicks) != n {
		t.Errorf("%d clicks, want %d: %q", len(clicks), n, clicks)
	}
	return clicks
}

// TestThePageOfTheDocumentationSendsItsClicksFromARealBrowser runs the snippet of docs/http-ingestion.md with the
// configuration beside it. Only addresses are changed: there is no sluice.example.
func TestThePageOfTheDocumentationSendsItsClicksFromARealBrowser(t *testing.T) {
	chromium := browser(t)
	s := newServer(t, "--limits", "off")
	script := documented(t, "html", "sendBeacon")
	site := shop(t, strings.ReplaceAll(script, pageURL, s.endpoint()))
	config := documented(t, "yaml", pageSite)
	if !strings.Contains(script, pageURL) || !strings.Contains(script, pageKey) || !strings.Contains(config, pageKey) {
		t.Fatal("the page and the configuration do not fit one another")
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(config, pageSite, site)+"\nregion: "+region+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = append(s.args, "--config", file)
	s.start()
	createStream(t, s, "clicks", 2)

	tab, closeTab := chromedp.NewContext(chromium)
	t.Cleanup(closeTab)
	run := func(ctx context.Context, what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	counting := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: countBeacons})
		return err
	})
	beacons := func(ctx context.Context) string {
		t.Helper()
		return evaluate(ctx, t, `localStorage.beacons ?? "0"`)
	}
	buy := chromedp.Click(chromedp.ID("buy"))

	run(tab, "click", counting, chromedp.Navigate(site), buy, chromedp.Click(chromedp.ID("größe")))
	clicks := waitForClicks(t, s, "the open page sends its clicks", 2)
	if want := "/buy,/größe"; strings.Join(clicks, ",") != want {
		t.Errorf("clicks %q, want %s", clicks, want)
	}
	if n := beacons(tab); n != "0" {
		t.Errorf("%s beacons from a page that was open all the time", n)
	}

	// Whether a click goes by fetch or by beacon is for the page's clock to say, which may strike between a click and the
	// end of its page: then the step is tried again.
	sent := 2
	byBeacon := func(what string, step func() (after context.Context)) (after context.Context) {
		t.Helper()
		before := beacons(tab)
		for range 10 {
			after = step()
			sent++
			waitForClicks(t, s, what, sent)
			if beacons(after) != before {
				return after
			}
		}
		t.Fatalf("%s, never by a beacon", what)
		return nil
	}
	byBeacon("the page that is left sends its click", func() context.Context {
		run(tab, "leave for another page", chromedp.Navigate(site), buy, chromedp.Navigate(site+"/elsewhere"))
		return tab
	})
	other := byBeacon("the page that is closed sends its click", func() context.Context {
		run(tab, "click", chromedp.Navigate(site), buy)
		closeTab()
		tab, closeTab = chromedp.NewContext(chromium)
		t.Cleanup(closeTab)
		run(tab, "look from another page", counting, chromedp.Navigate(site+"/elsewhere"))
		return tab
	})

	checkShared(other, t, s)
	waitForClicks(t, s, "a fetch with headers and a JSON beacon arrive", sent+2)

	// A page of another site has the key from this page's text, and may neither write nor read.
	run(other, "go to another site", chromedp.Navigate(shop(t, "")))
	if got := evaluate(other, t, send(s, "text/plain", `{"visit":"v","click":"stolen"}`)); got != "TypeError" {
		t.Errorf("a page of another site was answered %s", got)
	}
	if got := evaluate(other, t, send(s, "application/json", `{"visit":"v","click":"stolen"}`)); got != "TypeError" {
		t.Errorf("a page of another site was answered %s", got)
	}
	waitForClicks(t, s, "pages of other sites wrote nothing", sent+2)
}

// send is a script that posts a record with the key in a header, and gives the answer, or the name of what was thrown.
func send(s *server, contentType, record string) string {
	return fmt.Sprintf(`fetch(%q, {method: "POST", headers: {"Content-Type": %q, "X-Api-Key": %q, "X-Partition-Key-Field": "visit"}, body: %q})
		.then(async (r) => r.status + " " + await r.text() + " " + (r.headers.get("x-amzn-RequestId")?.length ?? 0), (e) => e.name)`,
		s.endpoint()+"/v1/streams/clicks/records", contentType, pageKey, record)
}

func evaluate(ctx context.Context, t *testing.T, script string) string {
	t.Helper()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return result
}

// checkShared sends from a page of the key's site what a browser asks about first, in a preflight.
func checkShared(tab context.Context, t *testing.T, s *server) {
	t.Helper()
	if got, want := evaluate(tab, t, send(s, "application/json", `[{"visit":"v","click":"fetch"}]`)), `200 {"records":1,"failed":0} 36`; got != want {
		t.Errorf("a fetch was answered %s, want %s", got, want)
	}
	url := s.endpoint() + "/v1/streams/clicks/records?partition_key_field=visit&api_key=" + pageKey
	beacon := fmt.Sprintf(`String(navigator.sendBeacon(%q, new Blob([%q], {type: "application/json"})))`, url, `[{"visit":"v","click":"beacon"}]`)
	if got := evaluate(tab, t, beacon); got != "true" {
		t.Errorf("a JSON beacon: %s", got)
	}
}

package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sender tells somebody. Send must return when its context ends. An error has the same told again, and later: what is so by then.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Message is what is told at once.
type Message struct {
	Receiver string  // its name
	Alerts   []Alert // firing or resolved, the most urgent first; at least one
	At       time.Time
}

// Endpoint is where messages are posted. Addresses of webhooks are secrets: only scheme and host are ever shown.
type Endpoint struct {
	// URL is where to. Required: http or https.
	URL string `json:"-"`

	// Authorization is the header of that name, such as "Bearer …". Default: none, or what the URL has before an @.
	Authorization string `json:"-"`

	// Transport is how. Default http.DefaultTransport. Redirects are never followed: they would carry secrets elsewhere.
	Transport http.RoundTripper `json:"-"`
}

// String is the scheme and the host.
func (e Endpoint) String() string {
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" {
		return "(no address)"
	}
	return u.Scheme + "://" + u.Host
}

// GoString is String.
func (e Endpoint) GoString() string { return e.String() }

func (e Endpoint) check() error {
	u, err := url.Parse(e.URL)
	switch {
	case e.URL == "":
		return errors.New("has no URL: say where to post")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https": // it is not quoted, as it is a secret
		return errors.New("has a URL that is none: give http:// or https:// with a host")
	}
	return nil
}

const answerBytes = 1 << 16 // of an answer that are read

// post sends a body as JSON to a place, and returns the answer's body. secrets are kept out of its error.
func (e Endpoint) post(ctx context.Context, to string, body any, secrets ...string) ([]byte, error) {
	secrets = append(secrets, e.secrets()...)
	fail := func(err error) error { return errors.New(scrub(fmt.Sprintf("%s: %v", e, bare(err)), secrets)) }
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fail(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(string(text)))
	if err != nil {
		return nil, fail(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sluice")
	if e.Authorization != "" {
		req.Header.Set("Authorization", e.Authorization)
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client := http.Client{Transport: e.Transport, CheckRedirect: stay}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fail(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return nil, fail(fmt.Errorf("it redirects (%d), which is not followed: give the address itself", resp.StatusCode))
	case resp.StatusCode >= 300:
		err := fail(fmt.Errorf("it answers %d: %s", resp.StatusCode, short(string(answer), 200)))
		refuses := resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusRequestEntityTooLarge ||
			resp.StatusCode == http.StatusUnprocessableEntity
		return nil, &laterError{err, retryAfter(resp.Header.Get("Retry-After"), time.Now()), refuses}
	case err != nil:
		return nil, fail(err)
	}
	return answer, nil
}

// laterError is the error of a receiver that may have said when to try again.
type laterError struct {
	error

	after   time.Duration // 0: it has not
	refuses bool          // what the message says
}

// retryAfter reads the header, which has seconds or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil && seconds > 0 {
		return time.Duration(min(seconds, int(longestAsk/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// bare takes from an error of package http what quotes the address.
func bare(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// secrets are the parts of an endpoint that must not be shown.
func (e Endpoint) secrets() []string {
	all := []string{e.URL, e.Authorization}
	if _, token, ok := strings.Cut(e.Authorization, " "); ok {
		all = append(all, token)
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return all
	}
	password, _ := u.User.Password()
	all = append(all, u.RequestURI(), u.Path, u.RawQuery, password)
	all = append(all, strings.Split(u.Path, "/")...)
	for _, values := range u.Query() {
		all = append(all, values...)
	}
	return all
}

// scrub replaces secrets in a text. What is shorter than six bytes is none.
func scrub(text string, secrets []string) string {
	const shortest = 6
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // the whole before its parts
	for _, s := range secrets {
		if len(s) >= shortest {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	return text
}

// short cuts a text.
func short(text string, most int) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\ufffd")), " ")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

package alert

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
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
	if err != nil { // it quotes the address
		return nil, cmp.Or(e.check(), errors.New("has an address that cannot be used"))
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
		err := fail(fmt.Errorf("it answers %d: %s", resp.StatusCode, short(scrub(string(answer), secrets), 200)))
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

// secrets are the parts of an endpoint that must not be shown, as they are and as addresses have them.
func (e Endpoint) secrets() []string {
	all := []string{e.URL, e.Authorization}
	if _, token, ok := strings.Cut(e.Authorization, " "); ok {
		all = append(all, loggedIn(token)...)
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return all
	}
	all = append(all, u.RequestURI(), u.Path, u.RawPath, u.RawQuery)
	all = append(all, strings.Split(u.EscapedPath(), "/")...)
	all = append(all, strings.Split(u.Path, "/")...)
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		all = append(all, value)
	}
	for _, values := range u.Query() {
		all = append(all, values...)
	}
	if password, ok := u.User.Password(); ok || u.User.Username() != "" {
		user := u.User.Username()
		all = append(all, u.User.String(), user, password, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	return all
}

// loggedIn are the secrets in what follows "Bearer" or "Basic".
func loggedIn(token string) []string {
	all := []string{token}
	if text, err := base64.StdEncoding.DecodeString(token); err == nil {
		if _, password, ok := strings.Cut(string(text), ":"); ok {
			all = append(all, string(text), password)
		}
	}
	return all
}

// strangers are what addresses have before an @: of a proxy, say.
var strangers = regexp.MustCompile(`://[^/\s@]*@`)

// scrub replaces secrets in a text. What is shorter than four bytes is none. Cut a text after that, or half a secret stays.
func scrub(text string, secrets []string) string {
	const shortest = 4
	var all []string
	for _, s := range secrets {
		if len(s) >= shortest {
			all = append(all, s, url.QueryEscape(s), url.PathEscape(s))
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // the whole before its parts
	for _, s := range all {
		text = strings.ReplaceAll(text, s, "***")
	}
	return strangers.ReplaceAllString(text, "://***@")
}

// short cuts a text.
func short(text string, most int) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\ufffd")), " ")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

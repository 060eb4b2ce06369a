package sluice

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ClientCredentials gets tokens for SASL.Token from an authorization server (RFC 6749, 4.4).
//
//	login := sluice.SASL{Mechanism: "OAUTHBEARER", Token: credentials.Token}
type ClientCredentials struct {
	// URL is the token endpoint (sasl.oauthbearer.token.endpoint.url). Required. Secrets go over it: it has to be https, but for
	// localhost and its addresses.
	URL string

	// ID and Secret are those of this client (sasl.oauthbearer.client.credentials.client.id and .client.secret). Required. The
	// secret is never printed.
	ID     string
	Secret string

	// Scope is what the token is to be good for (sasl.oauthbearer.scope), several with spaces. Zero: what the server gives.
	Scope string

	// HTTP makes the request; its CheckRedirect is not asked, as no redirect is followed: the secret would go with it. Nil:
	// http.DefaultClient, with 10 s for all of it.
	HTTP *http.Client
}

// String hides the secret.
func (c ClientCredentials) String() string {
	return fmt.Sprintf("tokens for %q from %s", c.ID, shown(c.URL))
}

// Format hides the secret, whatever the verb.
func (c ClientCredentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// GoString hides the secret.
func (c ClientCredentials) GoString() string { return c.String() }

// LogValue hides the secret.
func (c ClientCredentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON hides the secret.
func (c ClientCredentials) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// Check says what is wrong with the fields. It does no I/O.
func (c ClientCredentials) Check() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("the URL of the token endpoint is not of the form https://host/path")
	case u.Scheme == "http" && !local(u.Hostname()):
		return errors.New("the URL of the token endpoint is http, which shows the secret to everybody on the way; give https")
	case c.ID == "" || c.Secret == "":
		return errors.New("a client id and a client secret are required")
	}
	return nil
}

func local(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// shown is a URL without what may be secret in it.
func shown(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the token endpoint"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// longestAnswer bounds what is read of a token endpoint's answer, in bytes.
const longestAnswer = 1 << 20

// Token asks for a token. Its errors name the URL, never the secret or a token.
func (c ClientCredentials) Token(ctx context.Context) (Token, error) {
	t, err := c.ask(ctx)
	if err != nil {
		return Token{}, fmt.Errorf("token endpoint %s: %w", shown(c.URL), err)
	}
	return t, nil
}

func (c ClientCredentials) ask(ctx context.Context) (Token, error) {
	if err := c.Check(); err != nil {
		return Token{}, err
	}
	encoded, err := c.request(ctx, url.QueryEscape(c.ID), url.QueryEscape(c.Secret)) // RFC 6749, 2.3.1
	differ := url.QueryEscape(c.ID+c.Secret) != c.ID+c.Secret
	if refused, ok := errors.AsType[*refusal](err); ok && refused.code == http.StatusUnauthorized && differ {
		return c.request(ctx, c.ID, c.Secret) // some servers do not decode them
	}
	return encoded, err
}

// refusal is an answer other than 200 OK.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return r.text }

func (c ClientCredentials) request(ctx context.Context, id, secret string) (Token, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if c.Scope != "" {
		form.Set("scope", c.Scope)
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, errors.New("no request can be made of the URL")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(id, secret)
	client := *cmp.Or(c.HTTP, http.DefaultClient)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	asked := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the rest of it is the URL, as it was given
		}
		return Token{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer))
	if err != nil {
		return Token{}, fmt.Errorf("read the answer: %w", err)
	}
	return c.parse(resp, body, asked)
}

// parse reads an answer (RFC 6749, 5).
func (c ClientCredentials) parse(resp *http.Response, body []byte, asked time.Time) (Token, error) {
	var answer struct {
		Token   string      `json:"access_token"`
		Expires json.Number `json:"expires_in"` // in quotes, too, from some servers
		Error   string      `json:"error"`
		Words   string      `json:"error_description"`
	}
	bad := json.Unmarshal(body, &answer)
	if resp.StatusCode != http.StatusOK {
		text := []string{fmt.Sprintf("answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))}
		for _, s := range []string{answer.Error, answer.Words} {
			if s = printable(s); s != "" && !c.tells(s) {
				text = append(text, s)
			}
		}
		if resp.StatusCode >= 300 && resp.StatusCode < 400 {
			text[0] += ", a redirect, which is not followed, as the secret would go with it; give the URL that it leads to"
		}
		if resp.StatusCode == http.StatusUnauthorized || answer.Error == "invalid_client" {
			text[len(text)-1] += "; are client id and secret right?"
		}
		return Token{}, &refusal{resp.StatusCode, strings.Join(text, ", ")}
	}
	if bad != nil || answer.Token == "" {
		return Token{}, errors.New("answers 200 OK, but with no access_token in JSON; is it a token endpoint?")
	}
	t := Token{Value: answer.Token}
	if life, _ := answer.Expires.Float64(); life > 0 { // what is too large for a float64 is infinite
		t.Expires = asked.Add(time.Duration(min(life, longestLife.Seconds()) * float64(time.Second)))
	}
	return t, nil
}

// longestLife bounds what a token endpoint says of a token's life.
const longestLife = 10 * 365 * 24 * time.Hour

// tells says whether a text has the secret in it, as it is or as it was sent.
func (c ClientCredentials) tells(text string) bool {
	text = strings.ToLower(text)
	escaped := url.QueryEscape(c.Secret)
	for _, form := range []string{
		c.Secret, escaped, url.PathEscape(c.Secret), base64.RawStdEncoding.EncodeToString([]byte(c.Secret)),
		base64.RawStdEncoding.EncodeToString([]byte(c.ID + ":" + c.Secret)),
		base64.RawStdEncoding.EncodeToString([]byte(url.QueryEscape(c.ID) + ":" + escaped)),
	} {
		form = strings.ToLower(form)
		if strings.Contains(text, form) || strings.Contains(text, strings.NewReplacer("+", "-", "/", "_").Replace(form)) {
			return true
		}
	}
	return false
}

// refusalStatus is the status of a broker's answer to a token, when it looks like one.
func refusalStatus(answer []byte) string {
	var said struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(answer, &said) != nil || printable(said.Status) == "" {
		return ""
	}
	return " (" + printable(said.Status) + ")"
}

// printable is a short text in one line; anything else is left out.
func printable(s string) string {
	if len(s) > 200 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return s
}

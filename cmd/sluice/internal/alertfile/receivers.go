package alertfile

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
	"github.com/sluice-go/sluice/monitor/alert"
)

var kinds = []string{"alertmanager", "webhook", "slack", "dingtalk", "wecom"}

const leastRepeat = time.Minute

func (r *reader) receivers(f field) (all []alert.Receiver) {
	names := map[string]bool{}
	for i, f := range r.list(f) {
		f.Secret = true // an address may stand where another thing is expected
		parts, _ := r.Object(f, append([]string{"name", "only", "repeat", "timeout"}, kinds...)...)
		for _, name := range []string{"name", "only", "repeat", "timeout"} {
			part := parts[name]
			part.Secret = false
			parts[name] = part
		}
		one := alert.Receiver{
			Name: r.Text(parts["name"]), Match: r.matchers(parts["only"]), Repeat: r.spanOrNone(parts["repeat"]),
			Timeout: r.Duration(parts["timeout"]),
		}
		if one.Repeat > 0 && one.Repeat < leastRepeat {
			r.Badf(parts["repeat"], "%v is below %v", one.Repeat, leastRepeat)
		}
		for _, kind := range kinds {
			switch {
			case !parts[kind].Present():
				continue
			case one.Sender != nil:
				r.Badf(parts[kind], "a receiver is told in one way; make another one of it")
				continue
			}
			one.Sender = r.sender(kind, parts[kind])
			if one.Name == "" {
				one.Name = nameless(kind, i)
			}
		}
		if _, ok := one.Sender.(*alert.Alertmanager); ok && parts["repeat"].Present() {
			r.Badf(parts["repeat"], "an Alertmanager is told every minute, and has repeat_interval itself")
		}
		if one.Sender == nil && parts[kinds[0]].At == f.Node {
			r.Badf(f, "say how it is told: one of alertmanager, webhook, slack, dingtalk, wecom")
		}
		if one.Name != "" && names[one.Name] {
			r.Badf(parts["name"], "%q is another receiver's name, too", one.Name)
		}
		names[one.Name] = true
		all = append(all, one)
	}
	return all
}

func (r *reader) sender(kind string, f field) alert.Sender {
	known := []string{"url", "authorization", "ca_file"}
	if kind == "dingtalk" {
		known = append(known, "secret")
	}
	parts, _ := r.Object(f, known...)
	r.Require(parts["url"], "say where to post; ${NAME} takes it from the environment")
	e := alert.Endpoint{
		URL: r.address(parts["url"]), Authorization: r.Text(parts["authorization"]), Transport: r.transport(parts["ca_file"]),
	}
	switch kind {
	case "alertmanager":
		return &alert.Alertmanager{Endpoint: e}
	case "webhook":
		return &alert.Webhook{Endpoint: e}
	case "slack":
		return &alert.Slack{Endpoint: e}
	case "dingtalk":
		return &alert.DingTalk{Endpoint: e, Secret: r.Text(parts["secret"])}
	default:
		return &alert.WeCom{Endpoint: e}
	}
}

// address is an URL. It is a secret, so a mistake does not quote it.
func (r *reader) address(f field) string {
	text := r.Text(f)
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		r.Badf(f, "is no address: give http:// or https:// with a host")
	}
	return text
}

// transport trusts the authorities in a file, and no others.
func (r *reader) transport(f field) http.RoundTripper {
	path := r.file(f)
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		r.Badf(f, "%v", err)
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		r.Badf(f, "%s holds no certificate in PEM", yamlfile.Quote(f.Node))
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return transport
}

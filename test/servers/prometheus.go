package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"testing"

	"github.com/sluice-go/sluice/test/process"
)

// Prometheus is a real one that scrapes five times a second.
type Prometheus struct {
	server

	url string
}

// PrometheusConfig is how one is started.
type PrometheusConfig struct {
	Targets      []string // host:port, five times a second
	Rules        []string // files
	Alertmanager string   // host:port; "" for none
	Flags        []string
}

func (c PrometheusConfig) yaml() ([]byte, error) {
	config := map[string]any{
		"global":         map[string]any{"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
		"scrape_configs": []any{map[string]any{"job_name": "app", "static_configs": []any{map[string]any{"targets": c.Targets}}}},
	}
	if len(c.Rules) > 0 {
		config["rule_files"] = c.Rules
	}
	if c.Alertmanager != "" {
		managers := []any{map[string]any{"static_configs": []any{map[string]any{"targets": []string{c.Alertmanager}}}}}
		config["alerting"] = map[string]any{"alertmanagers": managers}
	}
	return json.Marshal(config) // which is YAML, too
}

// StartPrometheus starts one for a test; target is host:port. It takes more flags for the server.
func StartPrometheus(tb testing.TB, target string, flags ...string) *Prometheus {
	tb.Helper()
	return StartPrometheusWith(tb, PrometheusConfig{Targets: []string{target}, Flags: flags})
}

// StartPrometheusWith starts one for a test.
func StartPrometheusWith(tb testing.TB, c PrometheusConfig) *Prometheus {
	tb.Helper()
	p, err := startPrometheus(tb.Context(), c)
	endsWith(tb, err, func() { p.remove() })
	return p
}

func startPrometheus(ctx context.Context, c PrometheusConfig) (*Prometheus, error) {
	program, err := findProgram("prometheus", "/usr/bin")
	if err != nil {
		return nil, err
	}
	listen, err := FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := newDataDir()
	if err != nil {
		return nil, err
	}
	p := &Prometheus{url: "http://" + listen}
	argv := append([]string{
		program, "--config.file=" + dir.file("prometheus.yml"), "--storage.tsdb.path=" + dir.file("data"), "--web.listen-address=" + listen,
	}, c.Flags...)
	p.server = server{
		name: "Prometheus", dir: dir, ready: p.answers,
		process: &process.Process{Name: "Prometheus", Argv: argv, Log: dir.file("prometheus.log")},
	}
	text, err := c.yaml()
	if err == nil {
		err = os.WriteFile(dir.file("prometheus.yml"), text, 0o600)
	}
	if err == nil {
		err = p.restart()
	}
	if err != nil {
		dir.remove()
		return nil, err
	}
	return p, nil
}

func (p *Prometheus) answers(ctx context.Context) error {
	_, err := p.get(ctx, "/-/ready")
	return err
}

func (p *Prometheus) get(ctx context.Context, path string) (body []byte, err error) {
	return get(ctx, p.url+path)
}

func get(ctx context.Context, url string) (body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err = io.ReadAll(resp.Body); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, err
}

// Query asks for the values of an expression as of now, a number a series.
func (p *Prometheus) Query(ctx context.Context, expression string) ([]float64, error) {
	body, err := p.get(ctx, "/api/v1/query?query="+url.QueryEscape(expression))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expression, err)
	}
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"` // a time, and a number as a text
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w in %s", expression, err, body)
	}
	var values []float64
	for _, r := range answer.Data.Result {
		text, ok := r.Value[1].(string)
		if !ok {
			return nil, fmt.Errorf("%s: no number in %s", expression, body)
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", expression, err)
		}
		values = append(values, v)
	}
	return values, nil
}

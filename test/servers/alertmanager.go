package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/sluice-go/sluice/test/process"
)

// Alertmanager is a real one, without receivers.
type Alertmanager struct {
	server

	URL string
}

const alertmanagerConfig = `route: {receiver: nobody}
receivers: [{name: nobody}]
`

// StartAlertmanager starts one for a test.
func StartAlertmanager(tb testing.TB) *Alertmanager {
	tb.Helper()
	m, err := startAlertmanager(tb.Context())
	endsWith(tb, err, func() { m.remove() })
	return m
}

func startAlertmanager(ctx context.Context) (*Alertmanager, error) {
	program, err := findProgram("prometheus-alertmanager", "/usr/bin")
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
	m := &Alertmanager{URL: "http://" + listen}
	m.server = server{
		name: "Alertmanager", dir: dir, ready: func(ctx context.Context) error {
			_, err := get(ctx, m.URL+"/-/ready")
			return err
		},
		process: &process.Process{Name: "Alertmanager", Log: dir.file("alertmanager.log"), Argv: []string{
			program, "--config.file=" + dir.file("alertmanager.yml"), "--storage.path=" + dir.file("data"), "--web.listen-address=" + listen,
			"--cluster.listen-address=", // it is alone
		}},
	}
	err = os.WriteFile(dir.file("alertmanager.yml"), []byte(alertmanagerConfig), 0o600)
	if err == nil {
		err = m.restart()
	}
	if err != nil {
		dir.remove()
		return nil, err
	}
	return m, nil
}

// ManagedAlert is an alert as an Alertmanager knows it.
type ManagedAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Alerts are those that are active.
func (m *Alertmanager) Alerts(ctx context.Context) ([]ManagedAlert, error) {
	body, err := get(ctx, m.URL+"/api/v2/alerts?active=true")
	if err != nil {
		return nil, err
	}
	var all []ManagedAlert
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, fmt.Errorf("%w in %s", err, body)
	}
	return all, nil
}

// Restart starts it again on the data that it had.
func (m *Alertmanager) Restart(tb testing.TB) { tb.Helper(); m.restartFor(tb) }

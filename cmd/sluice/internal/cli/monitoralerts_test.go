package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// alertsFile writes a file of alerts.
func alertsFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "alerts.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestMonitorTellsReceivers(t *testing.T) {
	t.Parallel()
	told := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	defer receiver.Close()
	file := alertsFile(t, `
receivers:
  - webhook: {url: "`+receiver.URL+`/s3cret-token"}
custom:
  - name: Backlog
    when: lag > 5
    for: 0s
  - name: Broken
    when: lagg > 5
`)
	r := start(t, nil, "monitor", "-b", lagging(t), "--listen", "0", "--interval", "1s", "--alerts", file)
	address := listens(t, r)
	if body := <-told; !strings.Contains(body, `"alertname":"Backlog"`) || !strings.Contains(body, `"group":"billing"`) ||
		strings.Contains(body, `"group":"done"`) {
		t.Errorf("the receiver is told %s", body)
	}
	if status, body := ask(t, address, "/alerts.json"); status != http.StatusOK || !strings.Contains(body, `"alertname":"Backlog"`) ||
		!strings.Contains(body, `"state":"firing"`) {
		t.Errorf("%d %s", status, body)
	}
	r.stop()
	r.ends(t, ExitDone)
	if said := r.stderr.String(); !strings.Contains(said, file+":9:11:") || strings.Contains(said, "s3cret-token") {
		t.Errorf("it says\n%s", said)
	}
}

func TestMonitorRefusesAFileOfAlerts(t *testing.T) {
	t.Parallel()
	file := alertsFile(t, "receivers:\n  - webhok: {url: http://127.0.0.1:1}\n")
	r := execute(t, ExitFailed, "monitor", "-b", "127.0.0.1:1", "--listen", "0", "--alerts", file)
	if said := r.stderr.String(); !strings.HasPrefix(lastLine(said), file+":2:") || !strings.Contains(said, "webhok") {
		t.Errorf("it says\n%s", said)
	}
}

// What a script leaves empty is a mistake: not everybody's address, and not no limit.
func TestMonitorRefusesWhatIsEmpty(t *testing.T) {
	t.Parallel()
	for flag, args := range map[string][]string{"--listen": {"--listen", ""}, "--fail-if-lag-above": {"--once", "--fail-if-lag-above", ""}} {
		r := execute(t, ExitUsage, append([]string{"monitor", "-b", "127.0.0.1:1"}, args...)...)
		if said := r.stderr.String(); !strings.Contains(said, flag) {
			t.Errorf("%s: it says\n%s", flag, said)
		}
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

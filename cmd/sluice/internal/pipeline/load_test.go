package pipeline

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
)

var update = flag.Bool("update", false, "write the golden files anew")

func testEnv(name string) (string, bool) {
	switch name {
	case "DB_PASSWORD":
		return "p@ss/w:rd#1?", true
	case "DSN":
		return "postgres://app:secret@db.example:6432/shop?sslmode=disable", true
	}
	return "", false
}

// Every mistake of a file is told at once, in the order of its lines, with its place, and without a password.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			spec, err := Parse(filepath.Base(file), text, testEnv)
			if err == nil {
				t.Fatalf("no mistake found; got %+v", spec)
			}
			got := err.Error() + "\n"
			for _, secret := range []string{"hunter2", "secret", "s3cr3t", "pass: word"} {
				if strings.Contains(got, secret) {
					t.Errorf("a password is told:\n%s", got)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", got)
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (go test -update writes it anew)\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

func TestGoodFiles(t *testing.T) {
	t.Parallel()
	spec, err := Load("testdata/good/orders.yaml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(spec.SQL.Columns), "[{id value id } {user value user } {amount value amount } {ts value ts }]"; got != want {
		t.Errorf("columns are %s, want %s", got, want)
	}
	if spec.SQL.DSN.Password != "p@ss/w:rd#1?" || spec.SQL.DSN.Host != "localhost" || spec.SQL.DSN.Database != "shop" {
		t.Errorf("the DSN came apart wrongly: host %q, database %q", spec.SQL.DSN.Host, spec.SQL.DSN.Database)
	}
	if spec.Retry != (sluice.Retry{MaxAttempts: 5, Backoff: 100 * time.Millisecond, MaxBackoff: 10 * time.Second}) {
		t.Errorf("retry is %+v", spec.Retry)
	}

	all, err := Load("testdata/good/all.yaml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := all.SQL.DSN.String(), "postgres://app@db.example:6432/shop"; got != want {
		t.Errorf("DSN %s, want %s", got, want)
	}
	want := "[{zid value 0 } {id key  bigint} {name value 1 } {part partition  } {off offset  } {at timestamp  timestamptz}]"
	if got := fmt.Sprint(all.SQL.Columns); got != want {
		t.Errorf("columns are %s, want %s", got, want)
	}
	if all.Start != sluice.StartAt(time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("start is %+v", all.Start)
	}

	least, err := Load("testdata/good/least.yaml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if cfg, err := least.Consumer(least.Kafka); err != nil || cfg.Group != "least" || cfg.Start != sluice.Earliest() {
		t.Errorf("it reads as %q from %+v: %v", cfg.Group, cfg.Start, err)
	}
	if least.SQL.Tombstone != TombstoneDeadLetter || least.SQL.OnMissingRow != MissingRefuse {
		t.Errorf("defaults are wrong: %+v", least)
	}
}

func TestNoSuchFile(t *testing.T) {
	t.Parallel()
	_, err := Load("testdata/none.yaml", testEnv)
	if got, want := fmt.Sprint(err), "testdata/none.yaml: no such file or directory"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

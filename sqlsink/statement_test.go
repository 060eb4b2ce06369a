package sqlsink

import (
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-go/sluice"
)

var update = flag.Bool("update", false, "write the golden files")

func noNumber(error) (uint16, string, bool) { return 0, "", false }

func dialects() []Dialect { return []Dialect{Postgres(), MySQL(noNumber), SQLite()} }

// noDB is a DB that nothing is asked of.
func noDB(t testing.TB) *sql.DB {
	t.Helper()
	db := sql.OpenDB(nil)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func testSettings(t testing.TB, d Dialect, change func(*Config[int])) *settings {
	t.Helper()
	cfg := Config[int]{
		DB: noDB(t), Dialect: d, Table: `shop."or` + "`ders", Mode: Upsert, Key: []string{"id", "two words"},
		Columns: []Column{{Name: "id", Type: "bigint not null"}, {Name: `a"b`}, {Name: "c`d"}, {Name: "two words"}},
		Row:     func(sluice.Message[int]) (Row, error) { return Skip(), nil },
	}
	if change != nil {
		change(&cfg)
	}
	s, err := cfg.settings()
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestStatementsGolden(t *testing.T) {
	t.Parallel()
	for _, d := range dialects() {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			show := func(title, text string) { fmt.Fprintf(&b, "-- %s\n%s;\n\n", title, text) }
			upsert := newStatements(testSettings(t, d, nil))
			insert := newStatements(testSettings(t, d, func(c *Config[int]) { c.Mode = Insert }))
			oneKey := newStatements(testSettings(t, d, func(c *Config[int]) { c.Key = c.Key[:1] }))
			allKeys := newStatements(testSettings(t, d, func(c *Config[int]) { c.Columns = []Column{{Name: "id"}, {Name: "two words"}} }))
			show("begin", d.impl.begin())
			show("fence", upsert.fence())
			show("read the offset", upsert.readOffset())
			show("take the offset", upsert.takeOffset())
			show("add the offset", upsert.addOffset())
			show("insert", insert.put(2, false))
			show("upsert", upsert.put(2, false))
			show("upsert, the table has another unique index", upsert.put(1, true))
			show("upsert, all columns are keys", allKeys.put(1, false))
			show("delete", upsert.remove(2))
			show("delete, one key column", oneKey.remove(3))
			show("create the table", upsert.createTable(testSettings(t, d, nil).columns))
			show("create the table of offsets", d.impl.offsetsTable(upsert.offsets))
			show("the remedy for a topic that was made again", upsert.forget("it's", "t", 3))
			golden(t, strings.ToLower(d.String())+".sql", b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update to accept)\ngot:\n%s", path, got)
	}
}

package sqlsink

import (
	"database/sql"
	"testing"
	"time"
)

type named string

func TestIdentity(t *testing.T) {
	t.Parallel()
	id := func(values ...any) string {
		var b []byte
		for _, v := range values {
			b = appendIdentity(b, plainValue(v))
		}
		return string(b)
	}
	five, text := 5, "a"
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, same := range [][2]string{
		{id(5), id(int64(5))}, {id(uint8(5)), id(5)}, {id(&five), id(5)}, {id(&text), id("a")}, {id(named("a")), id("a")},
		{id(sql.NullString{String: "a", Valid: true}), id("a")}, {id([]byte("x")), id([]byte("x"))}, {id(at), id(at)},
	} {
		if same[0] != same[1] {
			t.Errorf("%q and %q should be one key", same[0], same[1])
		}
	}
	seen := map[string]int{}
	for i, distinct := range []string{
		id("a", "b"), id("ab", ""), id("", "ab"), id("a"), id("A"), id("a "), id(1), id("1"), id(1.0), id(-1), id([]byte("a")), id(true),
		id(at), id(at.In(time.FixedZone("", 3600))), id("s1:a"), id([3]byte{1}), id([3]byte{2}),
	} {
		if j, twice := seen[distinct]; twice {
			t.Errorf("%d and %d are taken for one key", i, j)
		}
		seen[distinct] = i
	}
	var none *int
	for _, null := range []any{nil, none, sql.NullInt64{}, (*sql.NullString)(nil)} {
		if v := plainValue(null); v != nil {
			t.Errorf("%T is %v, want NULL", null, v)
		}
	}
}

func TestSizeIsAnUpperEstimate(t *testing.T) {
	t.Parallel()
	text := string(make([]byte, 1000))
	for _, v := range []any{text, &text, []byte(text), sql.NullString{String: text, Valid: true}, named(text)} {
		if got := valueSize(v); got < 2000 {
			t.Errorf("%T: %d bytes, but the driver may escape each of 1,000", v, got)
		}
	}
	for _, v := range []any{nil, 1, 1.5, true, time.Now(), [3]int{1, 2, 3}, []int{1}} {
		if got := valueSize(v); got < 8 || got > 200 {
			t.Errorf("%T: %d bytes", v, got)
		}
	}
}

package sqlsink

import "testing"

func TestNarrower(t *testing.T) {
	for _, c := range []struct {
		has, wants string
		want       bool
	}{
		{"int(11)", "bigint not null", true},
		{"bigint(20)", "INT", false},
		{"int(10) unsigned", "int unsigned not null", false},
		{"int(10) unsigned zerofill", "int zerofill", false},
		{"smallint(5) unsigned", "int unsigned", true},
		{"smallint", "int comment 'unsigned'", true},
		{"tinyint(1)", "smallint", true},

		{"decimal(10,2)", "decimal(12,2)", true},
		{"decimal(12,1)", "decimal(12,2)", true},
		{"decimal(13,3)", "numeric(12,2)", false},
		{"numeric", "numeric(40,20)", false},
		{"numeric(8,2)", "numeric", false}, // which is decimal(10,0) on MySQL
		{"real", "double precision", true},
		{"double precision", "real", false},

		{"character varying(63)", "varchar(64) character set utf8mb4", true},
		{"character varying(64)", "varchar( 64 ) not null", false},
		{"varchar(20)", "text", true},
		{"text", "varchar(200)", false},
		{"text", "longtext", true},
		{"character(1)", "char", false},
		{"varbinary(15)", "varbinary(16)", true},
		{"bytea", "bytea", false},

		{"datetime(0)", "datetime(3)", true},
		{"datetime(3)", "datetime", false},
		{"timestamp without time zone", "timestamp(6)", false},
		{"timestamp(2) with time zone", "timestamp(3) with time zone", true},
		{"date", "date", false},

		// Not compared: other kinds, signs, and what is only named like a type.
		{"bigint(20) unsigned", "bigint", false},
		{"bigint", "varchar(20)", false},
		{"date", "varchar(20)", false},
		{"date", "datetime", false},
		{"double", "decimal(12,2)", false},
		{"", "varchar(20)", false}, // SQLite, and PostgreSQL's text
		{"uuid", "varchar(36)", false},
		{"integer[]", "bigint", false},
		{"enum('a','b')", "varchar(20)", false},
		{"time_unit", "time(3)", false},
		{"int4range", "bigint", false},
		{"text_kind", "longtext", false},
		{"varchar(20)", "", false},
	} {
		if got := narrower(c.has, c.wants); got != c.want {
			t.Errorf("%q for %q: narrower is %v", c.has, c.wants, got)
		}
	}
}

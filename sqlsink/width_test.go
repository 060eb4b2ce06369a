package sqlsink

import "testing"

func TestNarrower(t *testing.T) {
	for _, c := range []struct {
		has, wants string
		want       bool
	}{
		{"int(11)", "bigint not null", true},
		{"bigint(20)", "INT", false},
		{"bigint(20) unsigned", "bigint", true}, // nothing below 0
		{"bigint(20)", "bigint unsigned", true},
		{"bigint(20)", "int unsigned", false},
		{"int(10) unsigned", "int unsigned not null", false},
		{"tinyint(1)", "smallint", true},

		{"decimal(10,2)", "decimal(12,2)", true},
		{"decimal(12,1)", "decimal(12,2)", true},
		{"decimal(13,3)", "numeric(12,2)", false},
		{"numeric", "numeric(40,20)", false},
		{"numeric(8,2)", "numeric", false}, // which is decimal(10,0) on MySQL
		{"bigint", "decimal(18,0)", false},
		{"bigint", "decimal(19,0)", true},
		{"bigint", "decimal(3,1)", true},
		{"decimal(18,0)", "bigint", true},
		{"decimal(19,0)", "bigint", false},
		{"float", "double precision", true},
		{"double precision", "real", false},
		{"real", "int", true},
		{"double", "int", false},
		{"double", "decimal(12,2)", false},

		{"character varying(63)", "varchar(64) character set utf8mb4", true},
		{"character varying(64)", "varchar( 64 ) not null", false},
		{"varchar(20)", "text", true},
		{"text", "varchar(200)", false},
		{"text", "longtext", true},
		{"character(1)", "char", false},
		{"bigint", "varchar(20)", true},
		{"varchar(20)", "bigint", false},
		{"varbinary(15)", "binary(16)", true},
		{"bytea", "bytea", false},

		{"datetime(0)", "datetime(3)", true},
		{"datetime(3)", "datetime", false},
		{"timestamp without time zone", "timestamp(6)", false},
		{"timestamp(2) with time zone", "timestamp(3) with time zone", true},
		{"date", "datetime", true},
		{"datetime(0)", "date", false},
		{"date", "time", true},
		{"date", "bigint", true},

		{"", "varchar(20)", false}, // SQLite, and PostgreSQL's text
		{"uuid", "varchar(36)", false},
		{"integer[]", "bigint", false},
		{"enum('a','b')", "varchar(20)", false},
		{"varchar(20)", "", false},
	} {
		if got := narrower(c.has, c.wants); got != c.want {
			t.Errorf("%q for %q: narrower is %v", c.has, c.wants, got)
		}
	}
}

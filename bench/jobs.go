package main

import (
	"os"
	"os/exec"
	"path/filepath"
)

// job is one way to do a part of the work, as a command of its own process.
type job struct {
	name    string
	command func(in inputs, out string) []string
	// written is what to check below the output directory: a pattern of Parquet files; "" if it writes none.
	written string
	// note says what must be known to compare it.
	note string
	// needs is a program that may be missing.
	needs string
}

// inputs are what a job may read.
type inputs struct {
	self   string // this program
	python string
	dir    string // of the peers' programs
	server *server
	raw    string // a directory with a landed run
	tsv    string // the table as text
}

const curated = "curated/ratings/dt=2026-11-22/**/*.parquet"

func jobs() []job {
	own := func(name string, args ...string) func(inputs, string) []string {
		return func(in inputs, out string) []string {
			return append([]string{in.self, "job", name, "-dsn", in.server.dsn(), "-in", in.raw, "-out", out}, args...)
		}
	}
	peer := func(program string, args func(in inputs) []string) func(inputs, string) []string {
		return func(in inputs, out string) []string {
			arguments := args(in) // URL or file, then the rest
			return append([]string{in.python, filepath.Join(in.dir, program), arguments[0], out}, arguments[1:]...)
		}
	}
	return []job{
		{name: "read limit: mariadb --quick > /dev/null", command: func(in inputs, _ string) []string {
			return append(append([]string{"mariadb"}, in.server.client()...), "--quick", "--skip-column-names", "--execute=SELECT * FROM "+table, database)
		}, note: "reads, converts nothing"},
		{name: "millrace extract, 1 range", command: own("extract", "-ranges", "1"), note: "Avro, reconciled"},
		{name: "millrace extract, 2 ranges", command: own("extract", "-ranges", "2"), note: "Avro, reconciled"},
		{name: "millrace partition", command: own("partition"), written: curated, note: "from Avro; sorted, read back"},
		{name: "millrace partition by city", command: own("partition", "-partition-by", "city"), written: curated, note: "from Avro; sorted, read back"},
		{name: "millrace partition by month(ts)", command: own("partition", "-partition-by", "month(ts)"), written: curated, note: "from Avro; sorted, read back"},
		{name: "millrace, MySQL → Parquet", command: own("path", "-ranges", "2"), written: curated, note: "both, one after the other; sorted, reconciled, read back"},
		{name: "database/sql + xitongsys struct writer", command: own("naive"), written: "*.parquet", note: "the naive way"},
		{name: "connectorx + PyArrow", command: peer("connectorx_pyarrow.py", func(in inputs) []string { return []string{in.server.url("mysql"), "1"} }), written: "*.parquet", note: "whole table in memory"},
		{name: "connectorx, 2 partitions + PyArrow", command: peer("connectorx_pyarrow.py", func(in inputs) []string { return []string{in.server.url("mysql"), "2"} }), written: "*.parquet", note: "whole table in memory; two snapshots"},
		{name: "dlt sql_database, pyarrow", command: peer("dlt_pyarrow.py", func(in inputs) []string { return []string{in.server.url("mysql+pymysql")} }), written: "data/bench/ratings/*.parquet"},
		{name: "mydumper", needs: "mydumper", command: func(in inputs, out string) []string {
			return append(append([]string{"mydumper"}, in.server.client()...), "--threads=2", "--database="+database, "--tables-list="+table, "--rows=1000000", "--outputdir="+out)
		}, note: "SQL text, no Parquet"},
		{name: "DuckDB, from text", command: peer("duckdb_text.py", func(in inputs) []string { return []string{in.tsv} }), written: "*.parquet", note: "reads a TSV file, not the database"},
	}
}

// preparePeers installs the Python peers once.
func preparePeers(dir, requirements string) (python string, err error) {
	venv := filepath.Join(dir, "venv")
	python = filepath.Join(venv, "bin", "python")
	wanted, err := os.ReadFile(requirements)
	if err != nil {
		return "", err
	}
	stamp := filepath.Join(venv, "requirements.txt")
	if have, err := os.ReadFile(stamp); err == nil && string(have) == string(wanted) {
		return python, nil
	}
	for _, command := range [][]string{{"python3", "-m", "venv", "--clear", venv}, {python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements}} {
		install := exec.Command(command[0], command[1:]...)
		install.Stdout, install.Stderr = os.Stderr, os.Stderr
		if err := install.Run(); err != nil {
			return "", err
		}
	}
	return python, os.WriteFile(stamp, wanted, 0o644)
}

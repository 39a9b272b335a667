package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/shared/avrofile"
	"github.com/millrace/millrace/shared/checksum"
	"github.com/millrace/millrace/shared/parquetfile"
	"github.com/millrace/millrace/shared/schema"
)

func newInspect(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE | DIR",
		Short: "Show what a Parquet or Avro file holds, or what a directory publishes and whether it is intact",
		Long: `Show a Parquet or Avro file: columns with exact types, rows, content checksum, statistics and metadata,
all of it from reading every row. Or show a directory that takes the place of the lake's bucket: its
markers, what they were made from, and whether each file they list is there and unchanged (size and
SHA-256). Exit status 1 if one is not.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			bar := newBar(cmd.ErrOrStderr())
			if !info.IsDir() {
				f, err := inspectFile(args[0], info.Size(), bar)
				bar.done()
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				return o.show(cmd.OutOrStdout(), f, f.print)
			}
			d, err := inspectDirectory(cmd.Context(), args[0], bar)
			bar.done()
			if err != nil {
				return err
			}
			return errors.Join(o.show(cmd.OutOrStdout(), d, d.print), d.damage())
		},
	}
}

// inspectedFile is all there is to say about a file of rows.
type inspectedFile struct {
	File     string             `json:"file"`
	Format   string             `json:"format"` // parquet, avro
	Size     int64              `json:"size"`   // bytes
	SHA256   string             `json:"sha256"`
	Rows     int64              `json:"rows"`
	Checksum checksum.Sum       `json:"checksum"`
	Columns  []columnStatistics `json:"columns"`
	Metadata map[string]string  `json:"metadata"`
}

// rowReader is a Parquet or an Avro file.
type rowReader interface {
	Columns() []schema.Column
	Metadata() map[string]string
	Next(schema.Row) (schema.Row, error)
}

var (
	_ rowReader = (*parquetfile.Reader)(nil)
	_ rowReader = (*avrofile.Reader)(nil)
)

func inspectFile(path string, size int64, bar *bar) (f inspectedFile, err error) {
	file, err := os.Open(path)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	f = inspectedFile{File: path, Size: size}
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return f, err
	}
	f.SHA256 = hex.EncodeToString(hash.Sum(nil))
	var reader rowReader
	if f.Format, reader, err = openRows(file, size); err != nil {
		return f, err
	}
	if closer, ok := reader.(io.Closer); ok {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	f.Metadata = reader.Metadata()
	for _, c := range reader.Columns() {
		f.Columns = append(f.Columns, newColumnStatistics(c))
	}
	return f, f.readRows(reader, bar)
}

// openRows tells the format by the file's first bytes.
func openRows(file *os.File, size int64) (format string, r rowReader, err error) {
	if size == 0 {
		return "", nil, errors.New("is empty")
	}
	magic := make([]byte, 4)
	if _, err := file.ReadAt(magic, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", nil, err
	}
	switch string(magic) {
	case "PAR1":
		r, err = parquetfile.Open(file, size)
		return "parquet", r, err
	case "Obj\x01":
		r, err = avrofile.NewReader(bufio.NewReaderSize(file, mebibyte))
		return "avro", r, err
	}
	return "", nil, fmt.Errorf("begins with %q: neither a Parquet file (PAR1) nor an Avro file (Obj\\x01); to see markers, inspect the directory that holds raw/ or curated/", magic)
}

func (f *inspectedFile) readRows(reader rowReader, bar *bar) error {
	sum := checksum.New(reader.Columns())
	var row schema.Row
	for {
		var err error
		if row, err = reader.Next(row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		sum.Add(row)
		for i, v := range row {
			f.Columns[i].add(v)
		}
		if n := sum.Sum().Rows; n%rowsPerStep == 0 {
			bar.step("%s: %d rows read", f.File, n)
		}
	}
	f.Checksum = sum.Sum()
	f.Rows = f.Checksum.Rows
	for i := range f.Columns {
		f.Columns[i].finish()
	}
	return nil
}

func (f inspectedFile) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %s, %s, %d bytes\nsha256    %s\nchecksum  %s\n\n", f.File, f.Format, plural(int(f.Rows), "row"), f.Size, f.SHA256, f.Checksum)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "COLUMN\tTYPE\tIN THE DATABASE\tNULLS\tMIN\tMAX")
	for _, c := range f.Columns {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", readable(c.Name), typeOf(c.column), readable(c.Source), c.Nulls, bound(c.Min), bound(c.Max))
	}
	_ = table.Flush() // as Fprintf: a pipe that is closed is no mistake of ours
	fmt.Fprintln(w)
	for _, key := range slices.Sorted(maps.Keys(f.Metadata)) {
		fmt.Fprintf(w, "%s = %s\n", readable(key), readable(f.Metadata[key]))
	}
}

func bound(text *string) string {
	if text == nil {
		return "—"
	}
	return readable(*text)
}

// readableRunes keep a row of a table on one line of a terminal.
const readableRunes = 40

// readable shortens a text, and escapes what a terminal would take as a command.
func readable(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > readableRunes {
			b.WriteRune('…')
			break
		}
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// Package results keeps the tables of a Markdown file that programs write, between the text that people write.
package results

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Print shows the results of `make bench-<name>`, between their marks.
func Print(name, text string) { fmt.Print(marked(name, text)) }

// Publish puts the results, whole lines, of `make bench-<name>` in the place of the last ones in a file, or at its end. The file need not exist.
func Publish(path, name, text string) error {
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	begin, end := marks(name)
	head, rest, found := bytes.Cut(before, []byte(begin))
	_, tail, _ := bytes.Cut(rest, []byte(end))
	after := marked(name, text)
	if !found && len(head) > 0 {
		after = "\n" + after
	}
	return os.WriteFile(path, slices.Concat(head, []byte(after), tail), 0o644)
}

func marked(name, text string) string {
	begin, end := marks(name)
	return begin + "\n" + text + "\n" + end
}

func marks(name string) (begin, end string) {
	return fmt.Sprintf("<!-- bench-%s: written by make bench-%[1]s -->\n", name), fmt.Sprintf("<!-- /bench-%s -->\n", name)
}

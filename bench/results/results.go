// Package results keeps the tables of a Markdown file that programs write, between the text that people write.
package results

import (
	"bytes"
	"errors"
	"os"
	"slices"
)

// Replace puts text, which begins with the mark begin and ends with the line end, in the place of what stands between these marks in a
// file, or at its end. The file need not exist.
func Replace(path, begin, end, text string) error {
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	head, rest, found := bytes.Cut(before, []byte(begin))
	_, tail, _ := bytes.Cut(rest, []byte(end+"\n"))
	if !found && len(head) > 0 {
		text = "\n" + text
	}
	return os.WriteFile(path, slices.Concat(head, []byte(text), tail), 0o644)
}

package train

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// ReadSessions reads one session a line, the earliest session first: its items, the oldest first, separated by spaces. Empty lines
// are skipped. Each session becomes a user named for its line; errors are *FileError.
func ReadSessions(path string) (*Interactions, error) {
	x := &Interactions{sessions: true}
	err := eachLine(path, func(line int, text string) error {
		for n, item := range strings.Fields(text) {
			if err := x.AddAt(sessionID(line), item, 1, int64(n)); err != nil {
				return err
			}
		}
		if at := strings.IndexByte(text, '\t'); at >= 0 {
			return &FileError{Column: place(text, at), Err: errors.New("a tab: a session to train on is items separated by spaces; `prefix<TAB>next item` is for evaluate")}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// sessionID orders as text like its line as a number.
func sessionID(line int) string { return fmt.Sprintf("%010d", line) }

// Question is the beginning of a session, oldest item first, and the item that came next.
type Question struct {
	Prefix []string
	Next   string
}

// ReadQuestions reads lines of `item item …<TAB>next item`. Errors are *FileError.
func ReadQuestions(path string) ([]Question, error) {
	var list []Question
	err := eachLine(path, func(_ int, text string) error {
		prefix, next, tabbed := strings.Cut(text, "\t")
		q := Question{Prefix: strings.Fields(prefix), Next: strings.TrimSpace(next)}
		switch {
		case !tabbed:
			return &FileError{Column: place(text, len(text)), Err: errors.New("no tab: want items separated by spaces, a tab, and the next item")}
		case len(q.Prefix) == 0:
			return &FileError{Column: place(text, 0), Err: errors.New("no item before the tab")}
		case q.Next == "" || strings.ContainsAny(q.Next, " \t"):
			return &FileError{Column: place(text, len(prefix)+1), Err: fmt.Errorf("want one item after the tab, not %q", next)}
		}
		list = append(list, q)
		return nil
	})
	if err == nil && len(list) == 0 {
		err = &FileError{File: path, Err: errors.New("is empty: want lines of `item item …<TAB>next item`")}
	}
	return list, err
}

// place is a position in a line as editors count it.
func place(line string, at int) string { return fmt.Sprint(len([]rune(line[:at])) + 1) }

func eachLine(path string, do func(line int, text string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<16)
	for n := 1; ; n++ {
		text, err := lines.ReadString('\n')
		if text == "" && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return &FileError{File: path, Line: n, Err: err}
		}
		if text = strings.TrimRight(text, "\r\n"); strings.TrimSpace(text) == "" {
			continue
		}
		if err := do(n, text); err != nil {
			var where *FileError
			if !errors.As(err, &where) {
				where = &FileError{Err: err}
			}
			where.File, where.Line = path, n
			return where
		}
	}
}

// sessionsOf gives the sessions that begin in rows, by item number, oldest item first; rows are sorted by session.
func sessionsOf(rows []row) (list [][]int32) {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].user == rows[0].user {
			n++
		}
		session := slices.Clone(rows[:n])
		slices.SortStableFunc(session, func(a, b row) int { return cmp.Compare(a.time, b.time) })
		items := make([]int32, n)
		for k, r := range session {
			items[k] = r.item
		}
		list, rows = append(list, items), rows[n:]
	}
	return list
}

// questionsOf asks after every beginning of a session for what came next.
func questionsOf(sessions [][]int32) (list []question) {
	for _, items := range sessions {
		for k := 1; k < len(items); k++ {
			list = append(list, question{prefix: items[:k], next: items[k]})
		}
	}
	return list
}

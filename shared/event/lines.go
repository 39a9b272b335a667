package event

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Line is an event of a file that has one a line.
type Line struct {
	Number  int    // from 1
	Payload []byte // without the space around it; valid until the next line is asked for
	Err     error  // it is longer than an event may be, and was not kept
}

// Lines reads events one a line, of whatever length the lines are; blank lines are passed over. A pair with an error is the last.
func Lines(r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		lines := bufio.NewReaderSize(r, MaxBytes+2) // with \r\n
		for number := 1; ; number++ {
			text, err := lines.ReadSlice('\n')
			line := Line{Number: number}
			for errors.Is(err, bufio.ErrBufferFull) {
				line.Err = fmt.Errorf("more than the %d bytes an event may have", MaxBytes)
				_, err = lines.ReadSlice('\n')
			}
			if err != nil && !errors.Is(err, io.EOF) {
				yield(line, err)
				return
			}
			if line.Err == nil {
				line.Payload = bytes.TrimSpace(text)
			}
			if (line.Err != nil || len(line.Payload) > 0) && !yield(line, nil) || err != nil {
				return
			}
		}
	}
}

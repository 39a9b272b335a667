package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar says on a terminal how far a command is, and is silent elsewhere. It shows no share of a
// whole: neither a training nor a table tells beforehand how large it is.
type bar struct {
	shown *progressbar.ProgressBar
}

func newBar(w io.Writer) *bar {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return &bar{}
	}
	return &bar{progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))}
}

// step shows what has been reached.
func (b *bar) step(format string, args ...any) {
	if b.shown == nil {
		return
	}
	b.shown.Describe(fmt.Sprintf(format, args...))
	_ = b.shown.Add(1) // an unwritable terminal must not end the work
}

func (b *bar) done() {
	if b.shown != nil {
		_ = b.shown.Finish()
	}
}

// rowsPerStep is how often reading shows its progress: a few times a second.
const rowsPerStep = 1 << 16

const mebibyte = 1 << 20

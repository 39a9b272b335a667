package chaos_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mostGrowth is in bytes over the whole measurement: 100 bytes that each of 100 events/s leaves behind are 18 MB in half an hour. What the
// runtime keeps and gives back moves the figure by 1 or 2 MB.
const mostGrowth = 6 << 20

// TestAProcessThatWorksForLongGrowsInNothing is for SOAK=30m: memory, goroutines and connections of one process under steady load,
// with a new model every half minute.
func TestAProcessThatWorksForLongGrowsInNothing(t *testing.T) {
	t.Parallel()
	if os.Getenv("SOAK") == "" {
		t.Skip("SOAK is not set: takes as long as it says (make soak)")
	}
	duration, err := time.ParseDuration(os.Getenv("SOAK"))
	require.NoError(t, err, "SOAK is a duration such as 30m")
	s := start(t, bootstrap(t), 1, 1)
	random := rand.New(rand.NewPCG(1, 1))
	n := 0
	load := func(d time.Duration, each func(time.Duration)) {
		second := time.NewTicker(time.Second)
		defer second.Stop()
		event := time.NewTicker(10 * time.Millisecond)
		defer event.Stop()
		for began := time.Now(); time.Since(began) < d; {
			select {
			case <-event.C:
				// So many users that none has more events than are kept of one.
				s.put(n, strconv.Itoa(1000+random.IntN(100_000)), n%50 > 0)
				n++
			case <-second.C:
				each(time.Since(began))
				if n%3000 < 100 {
					s.swap(t)
				}
			}
		}
		require.Eventually(t, func() bool { return s.poller.Done() == s.stream.Len() }, time.Minute, time.Millisecond)
	}

	load(3*time.Second, func(time.Duration) {})
	sockets := s.sockets(t)
	goroutines := s.goroutines(t)

	var at, memory []float64
	load(duration, func(since time.Duration) {
		if since > duration/5 { // the caches and the heap have their size by then
			at, memory = append(at, since.Seconds()), append(memory, s.residentBytes(t))
		}
	})
	socketsAfter := s.sockets(t)
	goroutinesAfter := s.goroutines(t)
	slope := slopeOf(at, memory)
	growth := slope * (at[len(at)-1] - at[0])
	_, verdict := s.rest(t, time.Minute)
	t.Logf("figures: %v: %d events, %d models; resident memory %.1f MB, slope %+.3f MB an hour; %d goroutines then %d, %d sockets then %d; %v",
		duration, n, s.models, memory[len(memory)-1]/1e6, slope*3600/1e6, goroutines, goroutinesAfter, sockets, socketsAfter, verdict)
	require.False(t, verdict.Broken(), "%v\n%v", verdict, verdict.Examples)
	require.Less(t, growth, float64(mostGrowth), "resident memory grows")
	require.LessOrEqual(t, goroutinesAfter, goroutines+2)
	require.LessOrEqual(t, socketsAfter, sockets+2)
}

// slopeOf is that of the straight line with the least squares.
func slopeOf(x, y []float64) float64 {
	var mx, my, xy, xx float64
	for n := range x {
		mx, my = mx+x[n]/float64(len(x)), my+y[n]/float64(len(x))
	}
	for n := range x {
		xy, xx = xy+(x[n]-mx)*(y[n]-my), xx+(x[n]-mx)*(x[n]-mx)
	}
	return xy / xx
}

func (s *system) proc(file string) string {
	return filepath.Join("/proc", strconv.Itoa(s.function.Process(0).Pid), file)
}

func (s *system) residentBytes(t *testing.T) float64 {
	text, err := os.ReadFile(s.proc("statm"))
	require.NoError(t, err)
	var total, resident float64
	_, err = fmt.Sscan(string(text), &total, &resident)
	require.NoError(t, err)
	return resident * float64(os.Getpagesize())
}

func (s *system) sockets(t *testing.T) (n int) {
	files, err := os.ReadDir(s.proc("fd"))
	require.NoError(t, err)
	for _, f := range files {
		if target, _ := os.Readlink(filepath.Join(s.proc("fd"), f.Name())); strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

// goroutines ends the process as SIGQUIT does, with the stacks of all of them.
func (s *system) goroutines(t *testing.T) int {
	s.log.mu.Lock()
	s.log.text.Reset()
	s.log.mu.Unlock()
	require.NoError(t, s.function.Process(0).Signal(syscall.SIGQUIT))
	require.Eventually(t, func() bool { return s.function.Process(0) == nil }, 10*time.Second, time.Millisecond)
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return bytes.Count(s.log.text.Bytes(), []byte("\ngoroutine "))
}

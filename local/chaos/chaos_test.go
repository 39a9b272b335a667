package chaos_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// number reads a setting of a longer run; see the Makefile.
func number(t *testing.T, variable string, otherwise uint64) uint64 {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "%s is a number", variable)
	return n
}

// processes is how many invocations run at once: fewer than there are shards at times, so some are throttled.
const processes = 3

func TestNoFaultLosesDuplicatesOrMixesWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	first := number(t, "CHAOS_SEED", rand.Uint64N(1_000_000))
	count := number(t, "CHAOS_SEEDS", 5)
	if os.Getenv("CHAOS_SEED") != "" {
		count = number(t, "CHAOS_SEEDS", 1)
	}
	path := bootstrap(t)
	did := map[string]int{}
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			for what, times := range survive(t, path, seed) {
				did[what] += times
			}
		})
	}
	if count < 5 { // one may find nobody at work when it is a misfortune's turn
		return
	}
	for _, m := range misfortunes {
		require.Positive(t, did[m.name], "%s: nobody has met it in %d seeds", m.name, count)
	}
}

// survive returns what the nemesis did.
func survive(t *testing.T, path string, seed uint64) (did map[string]int) {
	began := time.Now()
	s := start(t, path, seed, processes)
	random := rand.New(rand.NewPCG(seed, 1))
	repeats := rand.New(rand.NewPCG(seed, 2))
	s.poller.Repeat = func() bool { // the shards' lanes ask at once
		s.mu.Lock()
		defer s.mu.Unlock()
		return repeats.IntN(10) == 0
	}
	produced := make(chan struct{})
	go func() {
		defer close(produced)
		for n := range 400 {
			user := ""
			if random.IntN(10) > 0 {
				user = fmt.Sprint(100 + random.IntN(40))
			}
			s.put(n, user, random.IntN(20) > 0)
			if random.IntN(20) == 0 { // bursts, so that batches have several events
				time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
			}
		}
	}()
	n := &nemesis{system: s, random: rand.New(rand.NewPCG(seed, 3)), did: map[string]int{}}
	n.rage(t, 4*time.Second)
	<-produced
	outcome, verdict := s.rest(t, 2*time.Minute)
	again := len(outcome.Lines)
	for _, sent := range outcome.Sent {
		if sent.Valid {
			again--
		}
	}
	t.Logf("seed %d: %d events acknowledged, %d lines (%d delivered again), %d invocations, %d processes started, %d models; %v; %.1f s; %v",
		seed, len(outcome.Sent), len(outcome.Lines), again, len(outcome.Invocations), s.function.Starts(), len(outcome.Activations), n, time.Since(began).Seconds(), verdict)
	require.False(t, verdict.Broken(), "%v\n%v\nagain: CHAOS_SEED=%d make chaos", verdict, verdict.Examples, seed)
	return n.did
}

package chaos_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/millrace/millrace/local/awsfake"
)

// nemesis does what machines and networks do, one thing after the other.
type nemesis struct {
	*system
	random *rand.Rand
	did    map[string]int
}

// misfortunes are what a nemesis does, each as often as it is listed; they say whether anybody met them.
var misfortunes = []struct {
	name string
	do   func(n *nemesis, t *testing.T) bool
}{
	{"kill -9", (*nemesis).kill},
	{"pause", (*nemesis).pause},
	{"partition of PostgreSQL", func(n *nemesis, t *testing.T) bool { return n.partition(t, "PostgreSQL") }},
	{"partition of Firehose", func(n *nemesis, t *testing.T) bool { return n.partition(t, "Firehose") }},
	{"partition of S3", func(n *nemesis, t *testing.T) bool { return n.partition(t, "S3") }},
	{"Firehose fault", func(n *nemesis, _ *testing.T) bool {
		return n.fault(n.firehose.Faults, awsfake.Throttled, awsfake.Unavailable, awsfake.ResetBefore, awsfake.AcceptedAndReset, awsfake.SomeEntriesFail)
	}},
	{"S3 fault", func(n *nemesis, _ *testing.T) bool {
		return n.fault(n.bucket.Faults, awsfake.Unavailable, awsfake.ResetBefore, awsfake.AcceptedAndReset)
	}},
	{"reshard", (*nemesis).reshard},
	{"swap", func(n *nemesis, t *testing.T) bool { n.swap(t); return true }},
	{"swap", func(n *nemesis, t *testing.T) bool { n.swap(t); return true }},
	{"session ended", (*nemesis).endSessions},
}

// rage goes on for a while, and until each misfortune has had its turn; what it has broken is whole when it returns.
func (n *nemesis) rage(t *testing.T, d time.Duration) {
	end := time.Now().Add(d)
	for round := 0; round == 0 || time.Now().Before(end); round++ {
		for _, next := range n.random.Perm(len(misfortunes)) {
			if round > 0 && time.Now().After(end) {
				return
			}
			n.sleep(10, 60)
			if m := misfortunes[next]; m.do(n, t) {
				n.did[m.name]++
			}
		}
	}
}

func (n *nemesis) kill(*testing.T) bool {
	return n.one(n.function.Kill)
}

func (n *nemesis) pause(*testing.T) bool {
	d := n.between(20, 300)
	return n.one(func(process int) bool { return n.function.Pause(process, d) })
}

// one does something to one of the processes that run.
func (n *nemesis) one(do func(process int) bool) bool {
	return slices.ContainsFunc(n.random.Perm(processes), do)
}

// fault lets a service have one of them for a while, and a second longer if nobody has asked it anything.
func (n *nemesis) fault(of *awsfake.Faults, faults ...awsfake.Fault) bool {
	before := of.Met()
	of.Set(faults[n.random.IntN(len(faults))], n.share())
	n.sleepLonger()
	for waited := 0; of.Met() == before && waited < 20; waited++ {
		n.sleep(40, 60)
	}
	of.Set(awsfake.None, 0)
	return of.Met() > before
}

func (n *nemesis) reshard(t *testing.T) bool {
	open := n.stream.OpenShards()
	if len(open) == 1 || len(open) < 4 && n.random.IntN(2) == 0 {
		require.NoError(t, n.stream.Split(open[n.random.IntN(len(open))]))
		return true
	}
	first := n.random.IntN(len(open) - 1)
	require.NoError(t, n.stream.Merge(open[first], open[first+1]))
	return true
}

// endSessions lets PostgreSQL end, twice or until there is one, the sessions that are about to remember what users did, as a restart or a
// failover does.
func (n *nemesis) endSessions(t *testing.T) (ended bool) {
	connection, err := pgx.Connect(t.Context(), n.database)
	require.NoError(t, err)
	_, err = connection.Exec(t.Context(), `begin; lock table millrace.user_activity in exclusive mode`)
	require.NoError(t, err)
	for round := 0; round < 2 || !ended && round < 10; round++ {
		n.sleep(50, 200)
		done, err := connection.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_locks
			where relation = 'millrace.user_activity'::regclass and not granted and database = (select oid from pg_database where datname = current_database())`)
		require.NoError(t, err)
		ended = ended || done.RowsAffected() > 0
	}
	_, err = connection.Exec(t.Context(), `commit`)
	require.NoError(t, err)
	require.NoError(t, connection.Close(t.Context()))
	return ended
}

// partition lets the network to one service misbehave for a moment.
func (n *nemesis) partition(t *testing.T, service string) bool {
	proxy := n.network[service]
	if n.random.IntN(3) == 0 { // nobody listens, and whoever was connected is not
		proxy.Stop()
		n.sleep(50, 400)
		require.NoError(t, proxy.Start())
		return true
	}
	// After so many bytes the connection is gone: at the login, between two queries, or in the middle of one.
	bytes := 100 + n.random.IntN(6000)
	toxics := []string{
		fmt.Sprintf(`{"name":"t","type":"limit_data","stream":"upstream","attributes":{"bytes":%d}}`, bytes),
		fmt.Sprintf(`{"name":"t","type":"limit_data","stream":"downstream","attributes":{"bytes":%d}}`, bytes),
		`{"name":"t","type":"reset_peer","stream":"downstream","attributes":{"timeout":0}}`, // done, and the answer lost
		`{"name":"t","type":"reset_peer","stream":"upstream","attributes":{"timeout":0}}`,
		`{"name":"t","type":"timeout","stream":"upstream","attributes":{"timeout":200}}`, // nothing arrives
		`{"name":"t","type":"latency","stream":"downstream","attributes":{"latency":100,"jitter":80}}`,
		`{"name":"t","type":"slicer","stream":"downstream","attributes":{"average_size":20,"size_variation":10,"delay":100}}`,
	}
	_, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxics[n.random.IntN(len(toxics))]))
	require.NoError(t, err)
	n.sleep(50, 400)
	require.NoError(t, removeToxic(proxy))
	return true
}

// removeToxic gives up on connections that do not let go of theirs, as toxiproxy does.
func removeToxic(proxy *toxiproxy.Proxy) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return proxy.Toxics.RemoveToxic(ctx, "t")
}

func (n *nemesis) between(low, high int) time.Duration {
	return time.Duration(low+n.random.IntN(high-low)) * time.Millisecond
}

// share of the requests that meet a fault: all of them half of the time, or it would pass by trying again.
func (n *nemesis) share() float64 { return min(1, 0.3+1.4*n.random.Float64()) }

// sleepLonger is at times longer than an invocation can wait.
func (n *nemesis) sleepLonger() {
	if n.random.IntN(3) == 0 {
		n.sleep(1500, 3000)
	} else {
		n.sleep(50, 400)
	}
}

func (n *nemesis) sleep(low, high int) { time.Sleep(n.between(low, high)) }

func (n *nemesis) String() string {
	var text []string
	for _, what := range slices.Sorted(maps.Keys(n.did)) {
		text = append(text, fmt.Sprintf("%s %d", what, n.did[what]))
	}
	return strings.Join(text, ", ")
}

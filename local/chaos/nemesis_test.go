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

// rage goes on for a while; what it has broken is whole when it returns.
func (n *nemesis) rage(t *testing.T, d time.Duration, processes int) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		n.sleep(10, 60)
		switch n.random.IntN(10) {
		case 0:
			if n.function.Kill(n.random.IntN(processes)) {
				n.did["kill -9"]++
			}
		case 1:
			n.did["pause"]++
			n.function.Pause(n.random.IntN(processes), n.between(20, 300))
		case 2, 3:
			n.partition(t)
		case 4:
			n.did["Firehose fault"]++
			faults := []awsfake.Fault{awsfake.Throttled, awsfake.Unavailable, awsfake.ResetBefore, awsfake.AcceptedAndReset, awsfake.SomeEntriesFail}
			n.firehose.Set(faults[n.random.IntN(len(faults))], n.share())
			n.sleepLonger()
			n.firehose.Set(awsfake.None, 0)
		case 5:
			n.did["S3 fault"]++
			faults := []awsfake.Fault{awsfake.Unavailable, awsfake.ResetBefore, awsfake.AcceptedAndReset}
			n.bucket.Set(faults[n.random.IntN(len(faults))], n.share())
			n.sleepLonger()
			n.bucket.Set(awsfake.None, 0)
		case 6:
			n.did["reshard"]++
			if open := n.stream.OpenShards(); len(open) < 4 && n.random.IntN(2) == 0 {
				require.NoError(t, n.stream.Split(open[n.random.IntN(len(open))]))
			} else if len(open) > 1 {
				first := n.random.IntN(len(open) - 1)
				require.NoError(t, n.stream.Merge(open[first], open[first+1]))
			}
		case 7, 8:
			n.did["swap"]++
			n.swap(t)
		case 9:
			n.did["session ended"]++
			n.endSessions(t)
		}
	}
}

// endSessions lets PostgreSQL end, twice, the sessions that are about to remember what users did, as a restart or a failover does.
func (n *nemesis) endSessions(t *testing.T) {
	connection, err := pgx.Connect(t.Context(), n.database)
	require.NoError(t, err)
	_, err = connection.Exec(t.Context(), `begin; lock table millrace.user_activity in exclusive mode`)
	require.NoError(t, err)
	for range 2 {
		n.sleep(50, 200)
		_, err = connection.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_locks
			where relation = 'millrace.user_activity'::regclass and not granted and database = (select oid from pg_database where datname = current_database())`)
		require.NoError(t, err)
	}
	_, err = connection.Exec(t.Context(), `commit`)
	require.NoError(t, err)
	require.NoError(t, connection.Close(t.Context()))
}

// partition lets the network to one service misbehave for a moment.
func (n *nemesis) partition(t *testing.T) {
	names := slices.Sorted(maps.Keys(n.network))
	proxy := n.network[names[n.random.IntN(len(names))]]
	n.did["partition of "+proxy.Name]++
	if n.random.IntN(3) == 0 { // nobody listens, and whoever was connected is not
		proxy.Stop()
		n.sleep(50, 400)
		require.NoError(t, proxy.Start())
		return
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
